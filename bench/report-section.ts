import type { Surroundings } from './bench-surroundings.ts'
import type { Row } from './report-table.ts'

/** One theme of the benchmark, with candidates that are measured in turns. */
export interface Section {
  /** As `--only` knows it. */
  name: string
  /** Measures and gives the rows of the table, and every figure behind them for the file. */
  measure(surroundings: Surroundings): Promise<SectionResult>
}

export interface SectionResult {
  rows: Row[]
  /** Written to the file as it is. */
  raw: unknown
}
