import { AsyncLocalStorage } from 'node:async_hooks'
import type { Readable } from 'node:stream'
import type { Dispatcher, EnvHttpProxyAgent } from 'undici'
import { codingOf, decodeBody } from '../http/decompress.ts'
import { isState, type State } from '../protocol/state.ts'
import { untrustedCode, untrustedText } from '../protocol/untrusted-text.ts'

/** Trace headers for requests to other services within a span. They name the parent span to the receiver. */
export const outgoingHeaders = new AsyncLocalStorage<Record<string, string>>()

/** Another usersync, or a service with the same API. */
export interface Peer {
  /** Its base URL, such as `http://tester:3000`. A path before `/v1` is kept. */
  url: string
  /** Undefined if it needs none. */
  key: string | undefined
}

/**
 * Why a peer sent no usable response. `unreachable`: no connection, or it broke; `timeout`: silence; `server_error`: 5xx; `busy`:
 * retry later; `unauthorized`: the key is wrong, or lacks a scope; `refused`: another 4xx; `not_understood`: the response is not
 * one of usersync.
 */
export type PeerFault =
  | 'unreachable'
  | 'timeout'
  | 'server_error'
  | 'busy'
  | 'unauthorized'
  | 'refused'
  | 'not_understood'

/** The faults that a retry may resolve. */
const RETRYABLE: PeerFault[] = ['unreachable', 'timeout', 'server_error', 'busy']

/** The members of a peer's problem+json (RFC 9457) that the client uses. */
interface PeerProblem {
  code?: string | undefined
  /** The state that the peer has. */
  state?: State | undefined
  /** Whether a full export makes the peer's pool a replica of everything. */
  becomesReplica?: boolean
  /** The header `Link` (RFC 8288). */
  link?: string | undefined
}

interface PeerErrorOptions {
  retryAfterMs?: number
  problem?: PeerProblem
  mayConcernOne?: boolean
}

/** Thrown if a peer sends no usable response. The message is safe to show, log and store; it contains no key. */
export class PeerError extends Error {
  override name = 'PeerError'
  readonly fault: PeerFault
  /** The peer's Retry-After. */
  readonly retryAfterMs: number
  readonly problem: PeerProblem
  /** Whether other requests may succeed although this one did not: it may be about a user that the key may not change. */
  readonly mayConcernOne: boolean

  constructor(fault: PeerFault, message: string, options: PeerErrorOptions = {}) {
    super(message)
    this.fault = fault
    this.retryAfterMs = options.retryAfterMs ?? 0
    this.problem = options.problem ?? {}
    this.mayConcernOne = options.mayConcernOne ?? fault === 'server_error'
  }

  /** Whether a retry can help. */
  get isRetryable(): boolean {
    return RETRYABLE.includes(this.fault)
  }
}

/** Maximum size of a problem, or another small response, that is read from a peer. */
const MAX_SHORT_ANSWER = 65_536

export interface PeerCall {
  method: 'GET' | 'PUT'
  /** Including the query. */
  path: string
  headers?: Record<string, string>
  /** As sent on the wire. A stream is read at the peer's pace. */
  body?: string | Readable
  /** How long the peer may send nothing, before and within its response. */
  silenceMs: number
  signal: AbortSignal
}

export interface PeerResponse {
  status: number
  headers: Record<string, string | string[] | undefined>
  /** Still encoded. The caller must read it to the end or destroy it. */
  body: Readable
}

/** Hosts that never use a proxy, whatever the environment says. */
const LOOPBACK = 'localhost,127.0.0.1,[::1]'

let agent: EnvHttpProxyAgent | undefined

/**
 * Returns the connections to peers. They go through HTTPS_PROXY and HTTP_PROXY, except for NO_PROXY. Throws if one of them is not a
 * URL.
 */
export async function connectAgent(): Promise<Dispatcher> {
  const undici = await loadUndici()
  agent ??= createAgent(undici)
  return agent
}

/** Loads undici with the first request: 25 ms of CPU time, and many services send none. */
const loadUndici = () => import('undici')

/**
 * undici counts it in ticks of half a second, so it ends after 4.0 to 4.5 s: before the 5 or 6 s of a probe (src/sync/probe.ts),
 * which then says that the target accepts no connection, and not that it is silent.
 */
const CONNECT_MS = 4_000

function createAgent(undici: typeof import('undici')): EnvHttpProxyAgent {
  const { no_proxy: noProxy = process.env['NO_PROXY'] ?? '' } = process.env
  return new undici.EnvHttpProxyAgent({
    connect: { timeout: CONNECT_MS },
    keepAliveTimeout: 4_000,
    noProxy: `${noProxy},${LOOPBACK}`,
    proxyTunnel: false, // for http:, as proxies expect; https: always has a tunnel
  })
}

type RequestOptions = Omit<Dispatcher.RequestOptions, 'origin' | 'path'>

/** Sends a request to a peer. Follows no redirect. */
export async function request(url: string, options: RequestOptions): Promise<Dispatcher.ResponseData> {
  const [undici, dispatcher] = await Promise.all([loadUndici(), connectAgent()])
  const answer = await undici.request(url, { dispatcher, ...options })
  answer.body.on('error', () => {}) // an unread response that fails would end the process
  return answer
}

/**
 * Calls a peer and returns its response if that is 2xx or 304. Does not follow redirects, since the request contains the key.
 * Throws PeerError, and the reason of `signal` after it aborts.
 */
export async function callPeer(peer: Peer, call: PeerCall): Promise<PeerResponse> {
  const { method, path, body, silenceMs, signal } = call
  const authorization = peer.key !== undefined && { authorization: `Bearer ${peer.key}` }
  const headers = { ...call.headers, ...outgoingHeaders.getStore(), ...authorization }
  const timeouts = { headersTimeout: silenceMs, bodyTimeout: silenceMs }
  try {
    const address = `${peer.url.replace(/\/+$/, '')}${path}`
    const answer = await request(address, { method, headers, body: body ?? null, signal, ...timeouts })
    const { statusCode: status } = answer
    if ((status >= 200 && status < 300) || status === 304) return { status, headers: answer.headers, body: answer.body }
    throw await refusal(status, answer)
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw asPeerError(error)
  }
}

/** Returns the JSON object of a small response. Throws PeerError. */
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

const notUnderstood = () => new PeerError('not_understood', 'The URL does not lead to a usersync.')

/**
 * Converts the `error` of a peer's connection. Everything that fails before or within a response is `unreachable`, with its code:
 * no list of codes is complete (TLS, DNS, networks, file handles).
 */
export function asPeerError(error: unknown): PeerError {
  if (error instanceof PeerError) return error
  if (error instanceof Error && error.name === 'HTTPParserError') return notUnderstood()
  const code = codeOf(error)
  if (['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'TimeoutError'].includes(code))
    return new PeerError('timeout', 'The peer sends nothing.')
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return new PeerError('unreachable', 'The peer accepts no connection.')
  const [, hint = ''] = HINTS.find(([codes]) => codes.test(code)) ?? []
  return new PeerError('unreachable', `The connection failed (${code}).${hint}`)
}

/** Advice for codes that do not explain themselves. */
const HINTS: [codes: RegExp, hint: string][] = [
  [/WRONG_VERSION|PACKET_LENGTH/, ' The port does not speak TLS: is the URL http instead of https?'],
  [/ALTNAME/, ' The certificate is for another host.'],
  [/CERT|SIGNATURE|ISSUER/, ' The certificate is not trusted; NODE_EXTRA_CA_CERTS names a file with further CAs.'],
  [/INVALID_URL/, ' Are HTTPS_PROXY and HTTP_PROXY URLs?'],
]

/** Returns the code of an error or of its cause; otherwise its name. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  const { code } = error as NodeJS.ErrnoException
  if (typeof code === 'string' && /^\w{1,64}$/.test(code)) return code
  return error.cause instanceof Error ? codeOf(error.cause) : error.name
}

async function refusal(status: number, { headers, body }: Dispatcher.ResponseData): Promise<PeerError> {
  const isProblem = String(headers['content-type']).startsWith('application/problem+json')
  // The status decides, whether or not the body can be read.
  const { code, detail, state, becomes_replica }: Record<string, unknown> = isProblem
    ? await readJson(body).catch(() => ({}))
    : {}
  if (!isProblem) await body.dump({ limit: MAX_SHORT_ANSWER }).catch(() => {})
  const problem = {
    code: untrustedCode(code),
    state: typeof state === 'string' && isState(state) ? state : undefined,
    ...(becomes_replica === 'everything' && { becomesReplica: true }),
    link: headers['link']?.toString(),
  }
  const why = status >= 300 && status < 400 ? 'a redirect, which is not followed: is the URL the final one?' : detail
  const parts = [`The peer answers ${status}`, problem.code, why].filter((part) => typeof part === 'string')
  const retryAfterMs = retryAfterOf(headers['retry-after'])
  return new PeerError(faultOf(status), untrustedText(parts.join(': ')), { retryAfterMs, problem })
}

/** The pause that a Retry-After asks for: seconds, or a date (RFC 9110, section 10.2.3). 0 without one. */
export function retryAfterOf(header: string | string[] | undefined): number {
  if (typeof header !== 'string') return 0
  const seconds = Number(header)
  const pauseMs = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now()
  return Number.isFinite(pauseMs) ? Math.max(0, pauseMs) : 0
}

/** The fault that a status other than 2xx stands for. */
export function faultOf(status: number): PeerFault {
  if (status === 401 || status === 403) return 'unauthorized'
  if (status === 408) return 'timeout'
  if (status === 429 || status === 503) return 'busy'
  if (status >= 500) return 'server_error'
  return status >= 400 ? 'refused' : 'not_understood'
}

/**
 * Yields the text of a peer's response as it arrives, decoded. Without a total limit, since only one row is in memory at a time.
 * Throws PeerError if the connection breaks, and ContentError if the body does not match its coding.
 */
export async function* answerTexts(
  { headers, body }: PeerResponse,
  onBytes: (bytes: number) => void = () => {},
): AsyncGenerator<string, void, void> {
  async function* received(): AsyncGenerator<Buffer, void, void> {
    try {
      for await (const bytes of body) {
        onBytes(bytes.length)
        yield bytes as Buffer
      }
    } catch (error) {
      throw asPeerError(error)
    }
  }
  yield* decodeBody(received(), codingOf(headers['content-encoding']?.toString()), Number.POSITIVE_INFINITY)
}
