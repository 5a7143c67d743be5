import type { FastifyRequest } from 'fastify'
import Negotiator from 'negotiator'
import { Problem } from '../errors.ts'
import type { Answer } from './answer.ts'
import { writeCsv } from './csv.ts'
import { writeJson } from './json.ts'
import type { Credential } from './line-form.ts'
import { writeNdjson } from './ndjson.ts'

/** What the formats tell besides the answer. */
export interface FormatContext {
  /** The filter as the client named it. */
  filters: Record<string, unknown>
  credentials: Credential[]
}

interface FormatForm {
  mediaType: string
  write: (answer: Answer, context: FormatContext) => AsyncGenerator<string, void, void>
}

/** The forms of an export, in the order of preference where the client has none. */
export const FORMATS = {
  json: {
    mediaType: 'application/json',
    write: (answer, { filters }) => writeJson(answer, { filters, exportTimestamp: new Date().toISOString() }),
  },
  ndjson: { mediaType: 'application/x-ndjson', write: writeNdjson },
  csv: { mediaType: 'text/csv', write: (answer, { credentials }) => writeCsv(answer, credentials) },
} satisfies Record<string, FormatForm>

export type Format = keyof typeof FORMATS

export const FORMAT_NAMES = Object.keys(FORMATS) as Format[]

/** The form that `Accept` prefers. Throws `not_acceptable`. */
export function acceptedFormat(request: FastifyRequest): Format {
  const mediaTypes = FORMAT_NAMES.map((name) => FORMATS[name].mediaType)
  const accepted = new Negotiator(request.raw).mediaType(mediaTypes)
  const format = FORMAT_NAMES.find((name) => FORMATS[name].mediaType === accepted)
  if (format === undefined) throw new Problem('not_acceptable', `Accept must leave one of ${mediaTypes.join(', ')}.`)
  return format
}
