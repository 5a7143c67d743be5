import type { Surroundings } from './bench-surroundings.ts'
import type { Row } from './report-table.ts'

/** A section of the benchmark, with candidates that are measured in turns. */
export interface Section {
  /** The name for `--only`. */
  name: string
  /** Measures, and returns the rows of the table and all figures for the file. */
  measure(surroundings: Surroundings): Promise<SectionResult>
}

export interface SectionResult {
  rows: Row[]
  /** Written to the file unchanged. */
  raw: unknown
}
