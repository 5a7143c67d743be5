import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import { Problem } from '../errors.ts'
import { hasBody } from './body-deadline.ts'

/** Whether a text or a name in the value holds U+0000, which PostgreSQL cannot store. */
export function holdsNul(value: unknown): boolean {
  if (typeof value === 'string') return value.includes('\0')
  return typeof value === 'object' && value !== null && Object.entries(value).flat().some(holdsNul)
}

/** PostgreSQL reads JSON recursively, and gives up at some thousands; nobody's attributes are this deep. */
const DEEPEST = 100

/**
 * Makes sure that a body can be kept as it is: half of a surrogate pair would silently become U+FFFD, a number that no
 * double holds null, and what is nested too deeply cannot be read. Throws `invalid_request`.
 */
export function requireStorable(value: unknown, depth = 0): void {
  if (depth > DEEPEST) throw new Problem('invalid_request', `The body is nested deeper than ${DEEPEST} levels.`)
  if (typeof value === 'string' && !value.isWellFormed()) {
    throw new Problem('invalid_request', 'A text holds half of a surrogate pair, which cannot be stored.')
  }
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new Problem('invalid_request', 'A number is larger than a double holds: send it as text.')
  }
  if (typeof value !== 'object' || value === null) return
  for (const [name, member] of Object.entries(value)) {
    requireStorable(name, depth)
    requireStorable(member, depth + 1)
  }
}

/** A whole number that no double may hold has so many digits at least; in most texts there are none. */
const MANY_DIGITS = /\d{16}/

/**
 * Makes sure that each whole number of a JSON text is the one that `JSON.parse` made of it: an id of 18 digits would silently
 * become another one (RFC 8259 section 6). Throws `invalid_request`.
 */
export function requireExactNumbers(text: string): void {
  if (!MANY_DIGITS.test(text)) return
  const look = (_name: string, value: unknown, { source = '' }: { source?: string } = {}) => {
    if (typeof value === 'number' && /^-?\d+$/.test(source) && BigInt(source) !== BigInt(value)) {
      throw new Problem('invalid_request', 'A whole number has more digits than are kept of it: send it as text.')
    }
    return value
  }
  JSON.parse(text, look as (name: string, value: unknown) => unknown)
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** The text of a body, without a byte order mark. Throws `invalid_request` where it is not UTF-8, as an import does. */
function readText(bytes: Buffer): string {
  try {
    return utf8.decode(bytes)
  } catch (cause) {
    throw new Problem('invalid_request', 'The body is not UTF-8.', { cause })
  }
}

/**
 * Member names are data: `__proto__` is one like any other, in a body as in an import. The code that reads bodies copies members by
 * spreading, which makes no prototype of them.
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
 * Whether an address is ASCII, as RFC 9112 has it, and its percent-encoding is that of UTF-8. Node reads other bytes as Latin-1,
 * and fast-querystring keeps what it cannot decode as it stands.
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
    'The address has a malformed percent-encoding, or characters that need one: use that of UTF-8.',
  )

const emptyBody = () => new Problem('invalid_json', 'The body is empty; send a JSON object.')

const OPTIONS = {
  allErrors: false,
  removeAdditional: false,
  useDefaults: true,
  strict: false,
  validateFormats: false,
  validateSchema: false, // the schemas are the service's own, and JSON Schema's takes 0.1 s to compile
} as const

/** Bytes of the largest body of which every fault is looked for: Ajv has no bound on how many it collects. */
const LARGEST_LISTED_BODY = 65_536

/** Validators that find every fault, by schema. They are slower, so they are made and used only for a request that has one. */
const thorough = new WeakMap<object, ValidateFunction>()
const thoroughOptions = { ...OPTIONS, allErrors: true, verbose: true }
const thoroughBodies = new Ajv({ ...thoroughOptions, coerceTypes: false })
const thoroughTexts = new Ajv({ ...thoroughOptions, coerceTypes: true })

/** Every fault of a request that failed validation, by its part. Fastify stops at the first part, and the first fault. */
export function everyFault(request: FastifyRequest): { part: string; faults: ErrorObject[] }[] {
  const { schema = {}, config } = request.routeOptions
  const { params, query, body, headers } = request
  const isListed =
    !config.readsBody && Number(headers['content-length']) <= LARGEST_LISTED_BODY && !headers['content-encoding']
  const parts = [
    { part: 'params', shape: schema.params, value: params },
    { part: 'body', shape: isListed ? schema.body : undefined, value: body },
    { part: 'querystring', shape: schema.querystring, value: query },
    { part: 'headers', shape: schema.headers, value: headers },
  ]
  return parts.flatMap(({ part, shape, value }) => {
    if (typeof shape !== 'object' || shape === null) return []
    const ajv = part === 'body' ? thoroughBodies : thoroughTexts
    const validate = thorough.get(shape) ?? ajv.compile(shape)
    thorough.set(shape, validate)
    return validate(value) ? [] : [{ part, faults: validate.errors ?? [] }]
  })
}

/** What tells of a body only. Many clients send the first with each request. */
const OF_THE_BODY = ['content-type', 'content-encoding']

/**
 * Strict input: a body is JSON or, where a route says so, what the route reads itself; unknown members are refused, not
 * removed, and a body's values are taken as they are (`"5"` is no number). Query and path values come as text, so there, and
 * only there, they are read as the type that the schema wants. Where there is no body, what tells of one is passed over.
 */
export const validation = plugin(
  (app: FastifyInstance, _options, done) => {
    const bodies = new Ajv({ ...OPTIONS, coerceTypes: false })
    const texts = new Ajv({ ...OPTIONS, coerceTypes: true })
    app.removeContentTypeParser(['application/json', 'text/plain'])
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, bytes: Buffer, parsed) => {
      try {
        parsed(null, readBody(bytes))
      } catch (error) {
        parsed(error as Error)
      }
    })
    app.addHook('onRequest', ({ raw: { url = '' } }, _reply, next) => {
      next(isDecodable(url) ? undefined : malformedAddress())
    })
    // Fastify would read a body wherever a type is told, and wait without end: Node plays no events for one that is not there
    // (`optimizeEmptyRequests`).
    app.addHook('onRequest', ({ raw: { headers }, routeOptions }, _reply, next) => {
      if (!hasBody(headers) && !routeOptions.config.readsBody) {
        for (const name of OF_THE_BODY) if (name in headers) delete headers[name]
      }
      next()
    })
    app.addHook('preValidation', ({ body, routeOptions: { schema, config } }, _reply, next) => {
      next(body === undefined && schema?.body && !config.readsBody ? emptyBody() : undefined)
    })
    app.setValidatorCompiler(({ schema, httpPart }) => (httpPart === 'body' ? bodies : texts).compile(schema as object))
    done()
  },
  { name: 'validation' },
)
