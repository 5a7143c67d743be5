import { Agent, fetch, Headers } from 'undici'
import { fairNow } from './clock.ts'
import type { Replica } from './replica.ts'
import type { Report } from './report.ts'

/** The keys of the service under test, by name. */
export const KEYS = {
  admin: { scopes: 'admin', secret: 'torture-admin-secret-of-32-characters!' },
  reader: { scopes: 'users:read', secret: 'torture-reader-secret-of-32-characters' },
  writer: { scopes: 'users:read+users:write', secret: 'torture-writer-secret-of-32-characters' },
  caller: { scopes: 'users:lease', secret: 'torture-caller-secret-of-32-characters' },
  logins: { scopes: 'users:read+credentials:read', secret: 'torture-logins-secret-of-32-characters' },
} as const
export type Key = keyof typeof KEYS

export const API_KEYS = Object.entries(KEYS)
  .map(([name, { scopes, secret }]) => `${name}=${scopes}=${secret}`)
  .join(',')

/** Part of every protected user. No response to a key without `admin` may contain it. */
export const PLANTED = 'planted-secret'

/**
 * The time limit of a request of each kind. Time in which its replica is suspended, or waits for a CPU, does not count.
 */
const BOUND_MS = { health: 5_000, user: 25_000, ordinary: 45_000, export: 120_000 }

export interface Request {
  replica: Replica
  key?: Key
  method?: string
  path: string
  body?: object | string
  headers?: Record<string, string>
  /** The kind, with its time limit. */
  kind?: keyof typeof BOUND_MS
  /** Added to the limit of its kind: `Prefer: wait=`. */
  extraMs?: number
  /** Aborts the request, like a client that disconnects. */
  signal?: AbortSignal
}

export interface Answer {
  /** 0: no response, or an incomplete one. */
  status: number
  headers: Headers
  text: string
  json: Record<string, unknown>
}

/** Closes idle connections soon. Otherwise they would count as handles that the replicas keep open. */
const dispatcher = new Agent({ keepAliveTimeout: 2_000, keepAliveMaxTimeout: 2_000 })

const NO_ANSWER: Answer = { status: 0, headers: new Headers(), text: '', json: {} }

interface InFlight {
  what: string
  replica: Replica
  boundMs: number
  beganAt: number
  pausedBefore: number
  late: AbortController
}

/** Sends requests, and checks each response for what no response may contain. */
export class Client {
  readonly #report: Report
  readonly #inFlight = new Set<InFlight>()

  constructor(report: Report) {
    this.#report = report
  }

  /** Reports each request that exceeds its limit once, and aborts it. */
  watch(): void {
    for (const request of this.#inFlight) {
      const { what, replica, boundMs, beganAt, pausedBefore, late } = request
      const ms = fairNow() - beganAt - Math.max(0, replica.pausedMs - pausedBefore) // less if the replica was restarted
      if (ms < boundMs) continue
      this.#inFlight.delete(request)
      this.#report.finding('request-bound', `${what} at ${replica.name}: no response after ${boundMs} ms`)
      late.abort()
    }
  }

  async ask(request: Request): Promise<Answer> {
    const { replica, key = 'admin', path, body, kind = 'ordinary', extraMs = 0, signal } = request
    const method = request.method ?? (body === undefined ? 'GET' : 'POST')
    const what = `${method} ${path.replace(/[0-9a-f]{8}-[0-9a-f-]{27}|u1-[0-9a-f]{64}/g, '…').slice(0, 120)}`
    const late = new AbortController()
    const boundMs = BOUND_MS[kind] + extraMs
    const inFlight = { what, replica, boundMs, beganAt: fairNow(), pausedBefore: replica.pausedMs, late }
    this.#inFlight.add(inFlight)
    let answer = NO_ANSWER
    try {
      const response = await fetch(replica.url + path, {
        method,
        dispatcher,
        signal: signal ? AbortSignal.any([late.signal, signal]) : late.signal,
        headers: {
          authorization: `Bearer ${KEYS[key].secret}`,
          ...(typeof body === 'object' && { 'content-type': 'application/json' }),
          ...request.headers,
        },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      })
      const text = await response.text()
      answer = { status: response.status, headers: response.headers, text, json: jsonOf(response.headers, text) }
    } catch {
      // Refused, cut or aborted: the next request shows what the service owes.
    } finally {
      this.#inFlight.delete(inFlight)
    }
    this.#report.count(`requests ${kind} ${answer.status}`)
    this.#check(what, key, kind, answer)
    return answer
  }

  #check(what: string, key: Key, kind: string, { status, text, headers, json }: Answer): void {
    if (key !== 'admin' && text.includes(PLANTED)) {
      this.#report.finding('scopes', `${what} shows a protected user to the key ${key}`)
    }
    if (status === 500 || (status >= 400 && kind !== 'health' && typeof json['code'] !== 'string')) {
      const type = headers.get('content-type')
      this.#report.finding('no-internal-error', `${what}: ${status} ${type} ${text.slice(0, 200)}`)
    }
  }
}

function jsonOf(headers: Headers, text: string): Record<string, unknown> {
  if (!/^application\/(problem\+)?json/.test(headers.get('content-type') ?? '') || text === '') return {}
  return text.length < 5_000_000 ? (JSON.parse(text) as Record<string, unknown>) : {}
}
