import type { operations } from './description.ts'

/** The problem+json of every response of the service that is an error. */
type ProblemOf<Responses> = {
  [Status in keyof Responses]: Responses[Status] extends {
    content: { 'application/problem+json': { code: infer Code } }
  }
    ? Code
    : never
}[keyof Responses]

/** The codes of the service's errors. */
export type ProblemCode = {
  [Operation in keyof operations]: ProblemOf<operations[Operation]['responses']>
}[keyof operations]

/**
 * The codes of errors that the client finds itself. `unreachable`: no connection, or it broke; `timeout`: silence; `unavailable`: a
 * proxy answers 5xx or 429 in place of the service; `not_usersync`: the URL leads to something else; `version_mismatch`: the service
 * has another version than the client; `export_cut`: an export ended too early; `state_mismatch`: users do not match the state;
 * `lease_lost`: a lease is over.
 */
export type ClientCode =
  | 'unreachable'
  | 'timeout'
  | 'unavailable'
  | 'not_usersync'
  | 'version_mismatch'
  | 'export_cut'
  | 'state_mismatch'
  | 'lease_lost'

/** A fault of one member of a request. */
export interface Fault {
  path: string
  code: string
  message: string
}

interface Details {
  status?: number
  requestId?: string | undefined
  errors?: Fault[]
  retryAfterMs?: number
  link?: string | undefined
  problem?: Record<string, unknown>
  cause?: unknown
}

/** Codes without a status that a retry may resolve. */
const RETRYABLE = ['unreachable', 'timeout', 'export_cut']

/** Thrown by every function of the client, except that an aborted call throws the reason of its signal. */
export class UsersyncError extends Error {
  override name = 'UsersyncError'
  /** Stable, for programs. A later version of the service may have further codes. */
  readonly code: ProblemCode | ClientCode | (string & {})
  /** The HTTP status; 0 if no response arrived. */
  readonly status: number
  /** Names the request in the log of the service. */
  readonly requestId: string | undefined
  /** Each invalid member of the request. */
  readonly errors: Fault[]
  /** How long the service asks to wait before a retry. */
  readonly retryAfterMs: number
  /** The header `Link` (RFC 8288). */
  readonly link: string | undefined
  /** The whole problem, whose further members depend on the code. */
  readonly problem: Record<string, unknown>

  constructor(code: UsersyncError['code'], message: string, details: Details = {}) {
    super(message, details.cause === undefined ? {} : { cause: details.cause })
    this.code = code
    this.status = details.status ?? 0
    this.requestId = details.requestId
    this.errors = details.errors ?? []
    this.retryAfterMs = details.retryAfterMs ?? 0
    this.link = details.link
    this.problem = details.problem ?? {}
  }

  /** Whether the same request may succeed later: no response, 408, 429 or 5xx. */
  get isRetryable(): boolean {
    return RETRYABLE.includes(this.code) || this.status === 408 || this.status === 429 || this.status >= 500
  }
}

/** Returns the error of a response that is no success; `text` is its body. */
export function errorOf(response: Response, text: string): UsersyncError {
  const { status, headers } = response
  const retryAfterMs = retryAfterOf(headers.get('retry-after'))
  const problem = problemOf(text)
  if (problem) {
    const { code, detail, title, errors, instance } = problem
    const requestId = typeof instance === 'string' ? instance : undefined
    const faults = Array.isArray(errors) ? (errors as Fault[]) : []
    return new UsersyncError(String(code), `${code}: ${detail ?? title}`, {
      ...{ status, requestId, errors: faults, retryAfterMs, problem, link: headers.get('link') ?? undefined },
    })
  }
  if ((status >= 500 && status !== 501) || status === 429 || status === 408) {
    return new UsersyncError('unavailable', `HTTP ${status}, not from usersync itself: is it down?`, {
      status,
      retryAfterMs,
    })
  }
  return notUsersync(status)
}

/** The error of a response that usersync does not send. */
export const notUsersync = (status: number) =>
  new UsersyncError('not_usersync', `HTTP ${status}, not from usersync: check the URL and proxies.`, { status })

function problemOf(text: string): Record<string, unknown> | undefined {
  try {
    const problem = JSON.parse(text) as Record<string, unknown> | null
    return String(problem?.['type']).startsWith('urn:usersync:problem:') ? (problem ?? undefined) : undefined
  } catch {
    return undefined
  }
}

/** The pause that a Retry-After asks for: seconds, or a date (RFC 9110, section 10.2.3). 0 without one. */
function retryAfterOf(header: string | null): number {
  if (header === null) return 0
  const seconds = Number(header)
  const pauseMs = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now()
  return Number.isFinite(pauseMs) ? Math.max(0, pauseMs) : 0
}
