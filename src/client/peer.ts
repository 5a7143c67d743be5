import { AsyncLocalStorage } from 'node:async_hooks'
import type { Readable } from 'node:stream'
import { type Dispatcher, EnvHttpProxyAgent, errors, request } from 'undici'
import { isState, type State } from '../protocol/state.ts'
import { untrustedCode, untrustedText } from '../protocol/untrusted-text.ts'

/** Headers for the requests to other services that are sent within a span: they tell the receiver whose child its span is. */
export const outgoingHeaders = new AsyncLocalStorage<Record<string, string>>()

/** Another usersync, or what stands in its place. */
export interface Peer {
  /** Where it listens, such as `http://tester:3000`; a path before `/v1` is kept. */
  url: string
  /** Undefined where it asks for none. */
  key: string | undefined
}

/**
 * Why a peer gave no usable answer. `unreachable`: no connection, or it broke; `timeout`: silence; `server_error`: 5xx; `busy`:
 * it asked to come later; `unauthorized`: the key is wrong, or lacks a scope; `refused`: another 4xx; `not_understood`: the
 * answer is not one of usersync.
 */
export type PeerFault =
  | 'unreachable'
  | 'timeout'
  | 'server_error'
  | 'busy'
  | 'unauthorized'
  | 'refused'
  | 'not_understood'

/** The faults that may be gone at the next attempt. */
const PASSING: PeerFault[] = ['unreachable', 'timeout', 'server_error', 'busy']

/** What a peer's problem+json (RFC 9457) says, as far as it is used. */
interface PeerProblem {
  code?: string | undefined
  /** The state that it holds. */
  state?: State | undefined
}

interface PeerErrorOptions {
  retryAfterMs?: number
  problem?: PeerProblem
}

/** Thrown if a peer gives no usable answer. The message is fit for a person, a log and the database; it names no key. */
export class PeerError extends Error {
  override name = 'PeerError'
  readonly fault: PeerFault
  /** How long the peer asks to be left alone. */
  readonly retryAfterMs: number
  readonly problem: PeerProblem

  constructor(fault: PeerFault, message: string, { retryAfterMs = 0, problem = {} }: PeerErrorOptions = {}) {
    super(message)
    this.fault = fault
    this.retryAfterMs = retryAfterMs
    this.problem = problem
  }

  /** Whether another attempt can help. */
  get isPassing(): boolean {
    return PASSING.includes(this.fault)
  }
}

/** The longest problem, or other small answer, that is read of a peer. */
const MAX_SHORT_ANSWER = 65_536

export interface PeerCall {
  method: 'GET' | 'PUT'
  /** With its query. */
  path: string
  headers?: Record<string, string>
  /** Bytes as they go over the wire; a stream is read at the peer's pace. */
  body?: string | Readable
  /** How long the peer may be silent, before its answer and within it. */
  silenceMs: number
  signal: AbortSignal
}

export interface PeerAnswer {
  status: number
  headers: Record<string, string | string[] | undefined>
  /** As it was coded. It must be read to the end, or destroyed. */
  body: Readable
}

/** Never through a proxy, whatever the environment says. */
const LOOPBACK = 'localhost,127.0.0.1,[::1]'

let agent: EnvHttpProxyAgent | undefined

/** Connections to peers, through HTTPS_PROXY and HTTP_PROXY except for NO_PROXY. Throws if one of them is not a URL. */
function connectAgent(): EnvHttpProxyAgent {
  const { no_proxy: noProxy = process.env['NO_PROXY'] ?? '' } = process.env
  return new EnvHttpProxyAgent({
    connect: { timeout: 5_000 },
    keepAliveTimeout: 4_000,
    noProxy: `${noProxy},${LOOPBACK}`,
  })
}

/**
 * Calls a peer and returns its answer if that is 2xx or 304. Redirects are not followed: the key went with the request.
 * Throws PeerError, and the reason of `signal` once that is aborted.
 */
export async function callPeer(peer: Peer, call: PeerCall): Promise<PeerAnswer> {
  const { method, path, body, silenceMs, signal } = call
  const authorization = peer.key !== undefined && { authorization: `Bearer ${peer.key}` }
  const headers = { ...call.headers, ...outgoingHeaders.getStore(), ...authorization }
  const timeouts = { headersTimeout: silenceMs, bodyTimeout: silenceMs }
  try {
    agent ??= connectAgent()
    const address = `${peer.url.replace(/\/+$/, '')}${path}`
    const answer = await request(address, {
      dispatcher: agent,
      method,
      headers,
      body: body ?? null,
      signal,
      ...timeouts,
    })
    answer.body.on('error', () => {}) // an answer that nobody reads to its end fails unseen, and would end the process
    const { statusCode: status } = answer
    if ((status >= 200 && status < 300) || status === 304) return { status, headers: answer.headers, body: answer.body }
    throw await refusal(status, answer)
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw asPeerError(error)
  }
}

/** The JSON object of a small answer. Throws PeerError. */
export async function readJson(body: Readable): Promise<Record<string, unknown>> {
  let text = ''
  try {
    for await (const bytes of body.setEncoding('utf8')) {
      text += bytes
      if (text.length > MAX_SHORT_ANSWER) break
    }
    const value: unknown = JSON.parse(text)
    if (value !== null && typeof value === 'object') return value as Record<string, unknown>
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw asPeerError(error)
  }
  throw notUnderstood()
}

const notUnderstood = () => new PeerError('not_understood', 'What answers there is no usersync.')

/**
 * The fault of a peer whose connection failed with `error`. Everything that fails before or within an answer is the peer's
 * `unreachable`, with its code: no list of codes is complete (TLS, name look-ups, networks, file handles).
 */
export function asPeerError(error: unknown): PeerError {
  if (error instanceof PeerError) return error
  if (error instanceof errors.HTTPParserError) return notUnderstood()
  const code = codeOf(error)
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT')
    return new PeerError('timeout', 'It is silent.')
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return new PeerError('unreachable', 'It takes no connection.')
  const [, hint = ''] = HINTS.find(([codes]) => codes.test(code)) ?? []
  return new PeerError('unreachable', `The connection failed (${code}).${hint}`)
}

/** What to do about codes that do not say it themselves. */
const HINTS: [codes: RegExp, hint: string][] = [
  [/WRONG_VERSION|PACKET_LENGTH/, ' Its port does not speak TLS: is the URL http instead of https?'],
  [/CERT|SIGNATURE|ISSUER/, ' Its certificate is not trusted; NODE_EXTRA_CA_CERTS names a file with further CAs.'],
  [/INVALID_URL/, ' Are HTTPS_PROXY and HTTP_PROXY URLs?'],
]

/** The code of an error, or of what caused it; else its name. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  const { code } = error as NodeJS.ErrnoException
  if (typeof code === 'string' && /^\w{1,64}$/.test(code)) return code
  return error.cause instanceof Error ? codeOf(error.cause) : error.name
}

async function refusal(status: number, { headers, body }: Dispatcher.ResponseData): Promise<PeerError> {
  const isProblem = String(headers['content-type']).startsWith('application/problem+json')
  // Whatever becomes of the body, the status says what the answer is.
  const { code, detail, state }: Record<string, unknown> = isProblem ? await readJson(body).catch(() => ({})) : {}
  if (!isProblem) await body.dump({ limit: MAX_SHORT_ANSWER }).catch(() => {})
  const problem = {
    code: untrustedCode(code),
    state: typeof state === 'string' && isState(state) ? state : undefined,
  }
  const parts = [`It answers ${status}`, problem.code, detail].filter((part) => typeof part === 'string')
  const seconds = Number(headers['retry-after'])
  const retryAfterMs = Number.isFinite(seconds) ? Math.max(0, seconds) * 1000 : 0
  return new PeerError(faultOf(status), untrustedText(parts.join(': ')), { retryAfterMs, problem })
}

function faultOf(status: number): PeerFault {
  if (status === 401 || status === 403) return 'unauthorized'
  if (status === 408) return 'timeout'
  if (status === 429 || status === 503) return 'busy'
  if (status >= 500) return 'server_error'
  return status >= 400 ? 'refused' : 'not_understood'
}
