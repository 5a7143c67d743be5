import { runLane } from '../suite.ts'

await runLane('sink-apis')
