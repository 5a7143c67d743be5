import { runLane } from '../suite.ts'

await runLane('unit-clients')
