import { runLane } from '../suite.ts'

await runLane('http')
