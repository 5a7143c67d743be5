import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import { invalidRequest, MAX_FAULTS, Problem } from '../errors.ts'
import { hasBody } from './request-body.ts'

/** Whether a text or a member name in the value contains U+0000, which PostgreSQL cannot store. */
export function holdsNul(value: unknown): boolean {
  if (typeof value === 'string') return value.includes('\0')
  return typeof value === 'object' && value !== null && Object.entries(value).flat().some(holdsNul)
}

/** PostgreSQL parses JSON recursively and fails at some thousand levels. Real attributes are never this deep. */
const MAX_DEPTH = 100

/**
 * Checks that a body can be stored unchanged. An unpaired surrogate would silently become U+FFFD, a number beyond double precision
 * would become null, and deep nesting cannot be parsed. Throws `invalid_request`.
 */
export function requireStorable(value: unknown, depth = 0): void {
  if (depth > MAX_DEPTH) throw new Problem('invalid_request', `The body is nested deeper than ${MAX_DEPTH} levels.`)
  if (typeof value === 'string' && !value.isWellFormed()) {
    throw new Problem('invalid_request', 'A text contains an unpaired surrogate, which cannot be stored.')
  }
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new Problem('invalid_request', 'A number is too large for a double: send it as text.')
  }
  if (typeof value !== 'object' || value === null) return
  for (const [name, member] of Object.entries(value)) {
    requireStorable(name, depth)
    requireStorable(member, depth + 1)
  }
}

/** A whole number that a double may not represent has at least this many digits. Most texts have none. */
const MANY_DIGITS = /\d{16}/

/**
 * Checks that each whole number of a JSON text equals what `JSON.parse` made of it: an id of 18 digits would silently change
 * (RFC 8259 section 6). Throws `invalid_request`.
 */
function requireExactNumbers(text: string): void {
  if (!MANY_DIGITS.test(text)) return
  const look = (_name: string, value: unknown, { source = '' }: { source?: string } = {}) => {
    if (typeof value === 'number' && /^-?\d+$/.test(source) && BigInt(source) !== BigInt(value)) {
      throw new Problem('invalid_request', 'A whole number has too many digits for a double: send it as text.')
    }
    return value
  }
  JSON.parse(text, look as (name: string, value: unknown) => unknown)
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Returns the text of a body, without a byte order mark. Throws `invalid_request` if it is not UTF-8, like an import does. */
function readText(bytes: Buffer): string {
  try {
    return utf8.decode(bytes)
  } catch (cause) {
    throw new Problem('invalid_request', 'The body is not UTF-8.', { cause })
  }
}

/**
 * Member names are data: `__proto__` is a name like any other, in a body and in an import. Code that reads bodies copies members
 * by spreading, which does not set a prototype.
 */
function readJson(text: string): unknown {
  if (text === '') throw emptyBody()
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new Problem('invalid_json', 'The body could not be read as JSON.', { cause })
  }
}

function readBody(bytes: Buffer): unknown {
  const text = readText(bytes)
  const body = readJson(text)
  requireStorable(body)
  requireExactNumbers(text)
  return body
}

/**
 * Whether a URL is ASCII, as RFC 9112 requires, and its percent-encoding is valid UTF-8. Node reads other bytes as Latin-1, and
 * fast-querystring keeps what it cannot decode.
 */
function isDecodable(url: string): boolean {
  if (!/[^!-~]|%/.test(url)) return true
  try {
    decodeURIComponent(url)
    return /^[!-~]*$/.test(url)
  } catch {
    return false
  }
}

const malformedAddress = () =>
  new Problem(
    'invalid_request',
    'The URL has a malformed percent-encoding, or characters that need one. Percent-encode its UTF-8 bytes.',
  )

const emptyBody = () => new Problem('invalid_json', 'The body is empty; send a JSON object.')

const isEmpty = (body: unknown) =>
  body === undefined || (typeof body === 'object' && body !== null && Object.keys(body).length === 0)

/** A member that a route ignored would do something else than its sender expects, such as `pool` or `dry_run`. */
const unexpectedBody = (body: unknown) => {
  const fault = { code: 'unknown_member', message: 'is not known here: this route takes no body' }
  const names = typeof body === 'object' && body !== null && !Array.isArray(body) ? Object.keys(body) : []
  const paths = names.length > 0 ? names.slice(0, MAX_FAULTS).map((name) => `body.${name}`) : ['body']
  return invalidRequest(paths.map((path) => ({ path, ...fault })))
}

/** Reads bodies of a media type as strict JSON, in the routes of `app`. */
export function acceptJson(app: FastifyInstance, mediaType: string): void {
  app.addContentTypeParser(mediaType, { parseAs: 'buffer' }, (request, bytes: Buffer, parsed) => {
    request.bodyBytes = bytes.length
    try {
      parsed(null, readBody(bytes))
    } catch (error) {
      parsed(error as Error)
    }
  })
}

/** Headers that describe a body. Many clients send the first with each request. */
const OF_THE_BODY = ['content-type', 'content-encoding']

/**
 * Strict input. A body is JSON, unless the route reads it by itself. Unknown members are rejected, not removed, and the values of a
 * body are not coerced (`"5"` is not a number). Query and path values arrive as text, so only these are coerced to the type in the
 * schema. Without a body, headers that describe one are ignored.
 */
export const validation = plugin(
  (app: FastifyInstance, _options, done) => {
    app.removeContentTypeParser(['application/json', 'text/plain'])
    app.decorateRequest('bodyBytes')
    acceptJson(app, 'application/json')
    app.addHook('onRequest', ({ raw: { url = '' } }, _reply, next) => {
      next(isDecodable(url) ? undefined : malformedAddress())
    })
    // With a content type, Fastify would wait forever for the body: Node emits no events for a missing one
    // (`optimizeEmptyRequests`).
    app.addHook('onRequest', (request, _reply, next) => {
      const { headers } = request.raw
      for (const name of OF_THE_BODY) {
        if (name in headers && !hasBody(headers) && !request.routeOptions.config.readsBody) delete headers[name]
      }
      next()
    })
    app.addHook('preValidation', ({ body, routeOptions: { schema, config } }, _reply, next) => {
      next(body === undefined && schema?.body && !config.readsBody ? emptyBody() : undefined)
    })
    // Later, because the Simple Table Server moves the members of a form to the query.
    app.addHook('preHandler', ({ body, routeOptions: { schema, config } }, _reply, next) => {
      const takesNone = schema && !schema.body && !config.readsBody
      next(takesNone && !isEmpty(body) ? unexpectedBody(body) : undefined)
    })
    done()
  },
  { name: 'validation' },
)
