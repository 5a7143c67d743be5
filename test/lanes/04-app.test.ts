import { runLane } from '../suite.ts'

await runLane('app')
