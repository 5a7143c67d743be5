import type { Readable } from 'node:stream'
import { Agent, type Dispatcher, errors, request } from 'undici'
import { outgoingHeaders } from '../tracing/outgoing-headers.ts'

/** Another usersync, or what stands in its place. */
export interface Peer {
  /** Where it listens, such as `http://tester:3000`; a path before `/v1` is kept. */
  url: string
  /** Undefined where it asks for none. */
  key: string | undefined
}

/**
 * Why a peer gave no answer that can be used. `unreachable`: no connection, or it broke; `timeout`: it is silent;
 * `server_error`: a fault of its own; `busy`: asked to come later; `unauthorized`: the key is wrong, or lacks a scope;
 * `refused`: it will not take this request; `not_understood`: what answers is no usersync.
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

/** Thrown where a peer gives no answer that can be used. The message is fit for a person; it names no key. */
export class PeerError extends Error {
  override name = 'PeerError'
  readonly fault: PeerFault
  /** How long the peer asks to be left alone. */
  readonly retryAfterMs: number
  /** The members of its problem+json (RFC 9457), where it sent one. */
  readonly problem: Record<string, unknown>

  constructor(
    fault: PeerFault,
    message: string,
    { retryAfterMs = 0, problem = {} }: { retryAfterMs?: number; problem?: Record<string, unknown> } = {},
  ) {
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
const SHORT_ANSWER = 65_536

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

const agent = new Agent({ connect: { timeout: 5_000 }, keepAliveTimeout: 4_000 })

/**
 * Asks a peer, and gives its answer where that is 2xx or 304. Redirects are not followed: a key went with the request.
 * Throws PeerError, and `signal`'s reason where that is aborted.
 */
export async function callPeer(peer: Peer, call: PeerCall): Promise<PeerAnswer> {
  const { method, path, body, silenceMs, signal } = call
  const authorization = peer.key !== undefined && { authorization: `Bearer ${peer.key}` }
  const headers = { ...call.headers, ...outgoingHeaders.getStore(), ...authorization }
  const timeouts = { headersTimeout: silenceMs, bodyTimeout: silenceMs }
  try {
    const address = `${peer.url.replace(/\/+$/, '')}${path}`
    const answer = await request(address, {
      dispatcher: agent,
      method,
      headers,
      body: body ?? null,
      signal,
      ...timeouts,
    })
    answer.body.on('error', () => {}) // one that is given up half-way fails with nobody reading it, and would end the process
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
      if (text.length > SHORT_ANSWER) break
    }
    const value: unknown = JSON.parse(text)
    if (value !== null && typeof value === 'object') return value as Record<string, unknown>
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw asPeerError(error)
  }
  throw notUnderstood()
}

const notUnderstood = () => new PeerError('not_understood', 'What answers there is no usersync.')

/** An error of the connection, told by its kind; another one as it is. */
export function asPeerError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof PeerError) return error
  if (error instanceof errors.HTTPParserError) return notUnderstood()
  const { code = '' } = error as NodeJS.ErrnoException
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT')
    return new PeerError('timeout', 'It is silent.')
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return new PeerError('unreachable', 'It takes no connection.')
  if (/^(E[A-Z]+|UND_ERR_SOCKET|UND_ERR_RES_.*)$/.test(code)) {
    return new PeerError('unreachable', `The connection failed (${code}).`)
  }
  return error
}

async function refusal(status: number, { headers, body }: Dispatcher.ResponseData): Promise<PeerError> {
  const isProblem = String(headers['content-type']).startsWith('application/problem+json')
  const problem = isProblem ? await readJson(body) : {}
  if (!isProblem) await body.dump({ limit: SHORT_ANSWER })
  const told = [`It answers ${status}`, problem['code'], problem['detail']].filter((part) => typeof part === 'string')
  const seconds = Number(headers['retry-after'])
  const retryAfterMs = Number.isFinite(seconds) ? Math.max(0, seconds) * 1000 : 0
  return new PeerError(faultOf(status), told.join(': '), { retryAfterMs, problem })
}

function faultOf(status: number): PeerFault {
  if (status === 401 || status === 403) return 'unauthorized'
  if (status === 408) return 'timeout'
  if (status === 429 || status === 503) return 'busy'
  if (status >= 500) return 'server_error'
  return status >= 400 ? 'refused' : 'not_understood'
}
