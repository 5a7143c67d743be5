import type { Text } from '../protocol/text.ts'
import type { Credential } from '../protocol/user-line.ts'
import type { Answer } from './answer.ts'
import { csvLine, writeCsv } from './csv.ts'
import { writeJson } from './json.ts'
import { jsonLine, type LineForm } from './lines.ts'
import { writeNdjson } from './ndjson.ts'

/** What the formats write besides the export itself. */
export interface FormatContext {
  /** The filter as the client requested it. */
  filters: Record<string, unknown>
  credentials: Credential[]
  /** Whether the text must depend on nothing but the export. */
  reproducible: boolean
}

interface FormatForm {
  mediaType: string
  /** How the format writes a user. */
  line: LineForm
  write: (answer: Answer, context: FormatContext) => Text
}

/** The formats of an export, in the order of preference for a client that has none. */
export const FORMATS = {
  json: {
    mediaType: 'application/json',
    line: jsonLine,
    write: (answer, { filters, reproducible }) =>
      writeJson(answer, { filters, exportTimestamp: reproducible ? undefined : new Date().toISOString() }),
  },
  ndjson: { mediaType: 'application/x-ndjson', line: jsonLine, write: writeNdjson },
  csv: { mediaType: 'text/csv', line: csvLine, write: (answer, { credentials }) => writeCsv(answer, credentials) },
} satisfies Record<string, FormatForm>

export type Format = keyof typeof FORMATS

export const FORMAT_NAMES = Object.keys(FORMATS) as Format[]
