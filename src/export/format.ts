import type { FastifyRequest } from 'fastify'
import Negotiator from 'negotiator'
import { Problem } from '../errors.ts'
import { remembered } from '../http/memoize.ts'
import type { Text } from '../protocol/text.ts'
import type { Answer } from './answer.ts'
import { writeCsv } from './csv.ts'
import { writeJson } from './json.ts'
import type { Credential } from './lines.ts'
import { writeNdjson } from './ndjson.ts'

/** What the formats tell besides the answer. */
export interface FormatContext {
  /** The filter as the client named it. */
  filters: Record<string, unknown>
  credentials: Credential[]
}

interface FormatForm {
  mediaType: string
  write: (answer: Answer, context: FormatContext) => Text
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

const MEDIA_TYPES = FORMAT_NAMES.map((name) => FORMATS[name].mediaType)

/** Of a media type all but its q-value. Ours are sent with `charset=utf-8`, and clients ask for just that. */
const PARAMETERS = /;(?!\s*q\s*=)[^;,]*/gi

const formatOf = remembered((given) => {
  const accept = given.replaceAll(PARAMETERS, '')
  const accepted = new Negotiator({ headers: { accept } }).mediaType(MEDIA_TYPES)
  return FORMAT_NAMES.find((name) => FORMATS[name].mediaType === accepted)
})

/** The form that `Accept` prefers. Throws `not_acceptable`. */
export function acceptedFormat(request: FastifyRequest): Format {
  const format = formatOf(request.headers.accept ?? '*/*')
  if (format === undefined) throw new Problem('not_acceptable', `Accept must leave one of ${MEDIA_TYPES.join(', ')}.`)
  return format
}
