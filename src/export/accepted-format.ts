import type { FastifyRequest } from 'fastify'
import Negotiator from 'negotiator'
import { Problem } from '../errors.ts'
import { memoize } from '../process/memoize.ts'
import { FORMAT_NAMES, FORMATS, type Format } from './format.ts'

const MEDIA_TYPES = FORMAT_NAMES.map((name) => FORMATS[name].mediaType)

/** The parameters of a media type, except q. Our types have `charset=utf-8`, and clients request exactly that. */
const PARAMETERS = /;(?!\s*q\s*=)[^;,]*/gi

const formatOf = memoize((given) => {
  const accept = given.replaceAll(PARAMETERS, '')
  const accepted = new Negotiator({ headers: { accept } }).mediaType(MEDIA_TYPES)
  return FORMAT_NAMES.find((name) => FORMATS[name].mediaType === accepted)
})

/** Returns the format that `Accept` prefers. An empty one, as of a tool whose header has no value, prefers none. Throws `not_acceptable`. */
export function acceptedFormat(request: FastifyRequest): Format {
  const format = formatOf(request.headers.accept || '*/*')
  if (format === undefined)
    throw new Problem('not_acceptable', `Accept allows no available media type. Available: ${MEDIA_TYPES.join(', ')}.`)
  return format
}
