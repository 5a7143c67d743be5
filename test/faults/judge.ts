import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib'
import type { ValidateFunction } from 'ajv'
import { ERRORS, type ErrorCode } from '../../src/errors.ts'
import type { FuzzedRequest } from './fuzzed-request.ts'
import { PASSWORD, SECRETS, USER_MARK } from './known.ts'
import type { TimedAnswer } from './send.ts'

/** A request that hangs takes longer. On a machine with a load of 25 an import of ten rows has taken 8 s. */
const MAX_DURATION_MS = 15_000

/**
 * The schema of a response by method, path and status. Null: it has no JSON body. Undefined: the status is not
 * described.
 */
export type Promised = (request: FuzzedRequest, status: number) => ValidateFunction | null | undefined

const DECODERS: Record<string, (bytes: Buffer) => Buffer> = {
  gzip: (bytes) => gunzipSync(bytes),
  br: (bytes) => brotliDecompressSync(bytes),
  zstd: (bytes) => zstdDecompressSync(bytes),
  deflate: (bytes) => inflateSync(bytes),
}

/** Stack frames, code locations, SQL, and messages of the driver, Node and Fastify. */
const INNER =
  /\n\s+at |node_modules|\/src\/|\.ts:\d|PostgresError|SQLSTATE|violates|relation "|\bfrom users\b|FST_|ERR_|undefined/

/** Returns what is wrong with the response, or undefined. */
export function judge(request: FuzzedRequest, answer: TimedAnswer, promised: Promised): string | undefined {
  const { status, headers, ms } = answer
  if (ms > MAX_DURATION_MS) return `it took ${Math.round(ms)} ms`
  if (request.method === 'HEAD' && answer.body.length > 0) return 'HEAD has a body'
  const text = textOf(answer)
  if (text === undefined) return `the body is not ${headers['content-encoding']}`
  const leaked = Object.entries({ ...SECRETS, password: PASSWORD }).find(([, secret]) => holds(answer, text, secret))
  if (leaked && !(leaked[0] === 'password' && includesCredentials(request))) return `it contains the ${leaked[0]}`
  return status >= 400 || isPage(request, text)
    ? faultOfProblem(request, answer, text)
    : faultOfSuccess(request, answer, text, promised)
}

/** Whether the request is for credentials: a query of an export, or a member of a lease. */
const includesCredentials = ({ target }: FuzzedRequest) =>
  target.includes('include=') || target.startsWith('/v1/leases') || target.startsWith('/sts/READ')

const holds = ({ headers }: TimedAnswer, text: string, secret: string) =>
  text.includes(secret) || JSON.stringify(headers).includes(secret)

function textOf({ headers, body }: TimedAnswer): string | undefined {
  const decode = DECODERS[headers['content-encoding'] ?? '']
  if (!decode || body.length === 0) return body.toString()
  try {
    return decode(body).toString()
  } catch {
    return undefined
  }
}

/** The 5xx codes that are allowed, and where: nothing listens at the targets. */
const mayFail = ({ operation }: FuzzedRequest, code: string) =>
  code === 'target_failed' && operation.path === '/v1/sync/verify'

/** A page of the Simple Table Server for an error. */
const isPage = ({ operation }: FuzzedRequest, text: string) =>
  operation.path.startsWith('/sts/') && /^<html><title>KO<\/title>\n<body>Error : .+<\/body>\n<\/html>$/s.test(text)

function faultOfProblem(request: FuzzedRequest, { status, headers }: TimedAnswer, text: string): string | undefined {
  if (isPage(request, text)) {
    if (status >= 500) return `the status is ${status}`
    if (INNER.test(text)) return 'the page contains internals'
    return text.includes(USER_MARK) ? 'the page contains a user' : undefined
  }
  if (!/^application\/problem\+json\b/.test(headers['content-type'] ?? ''))
    return `an error of type ${headers['content-type']}`
  if (request.method === 'HEAD') return status >= 500 ? `the status is ${status}` : undefined
  const problem = JSON.parse(text) as Record<string, unknown>
  const code = String(problem['code'])
  const known = Object.hasOwn(ERRORS, code) ? ERRORS[code as ErrorCode] : undefined
  if (!known) return `the unknown error code ${code}`
  if (status >= 500 && !mayFail(request, code)) return `the status is ${status} ${code}`
  const { type, title, detail, instance } = problem
  const isWhole = type === `urn:usersync:problem:${code}` && title === known.title && problem['status'] === status
  if (!isWhole || known.status !== status) return 'the problem differs from the catalogue'
  // Requests that Node's parser rejects have no path for `instance`.
  if (typeof detail !== 'string' || (typeof instance !== 'string' && status !== 431))
    return 'the problem lacks its detail or instance'
  if (INNER.test(text)) return 'the problem contains internals'
  if (text.includes(USER_MARK)) return 'the problem contains a user'
  return undefined
}

/** `JSON.stringify` escapes lone surrogates. An import may reject the rows that have them. */
const holdsHalf = ({ operation, headers, body }: FuzzedRequest) =>
  operation.requestBody?.content['application/json'] !== undefined &&
  operation.path !== '/v1/users/import' &&
  headers['content-encoding'] === undefined &&
  /\\ud[89a-f][0-9a-f]{2}/.test(body?.toString() ?? '')

function faultOfSuccess(
  request: FuzzedRequest,
  { status, headers, body }: TimedAnswer,
  text: string,
  promised: Promised,
): string | undefined {
  if (holdsHalf(request)) return 'it accepts a lone surrogate, which cannot be stored'
  if (status === 204 || status === 304) return body.length > 0 ? `${status} has a body` : undefined
  const validate = promised(request, status)
  if (validate === undefined) return `the status ${status} is not described`
  const isJson = /^application\/json\b/.test(headers['content-type'] ?? '')
  if (validate === null || !isJson || request.method === 'HEAD') return undefined
  return validate(JSON.parse(text))
    ? undefined
    : `the body does not match its schema: ${JSON.stringify(validate.errors)}`
}
