import { errorOf, notUsersync, UsersyncError } from './errors.ts'
import { withoutTimeouts } from './fetch-timeouts.ts'
import type { CallOptions, RawBody } from './operation-types.ts'
import { OPERATIONS, VERSION } from './operations.ts'
import { isReadiness } from './readiness.ts'
import { isDeleted, isNotDone, mayRepeat } from './repetition.ts'
import { sleep, Watchdog } from './signals.ts'

/** Where the service is, and how patient its client is. */
export interface ClientOptions {
  /** The URL of the service, such as `http://127.0.0.1:3000`. A path is kept. */
  url: string
  /** The API key. */
  key?: string | undefined
  /** The pool of all calls that name no other. Default: the pool `default`. */
  pool?: string | undefined
  /** How long the service may send nothing. Default: 30,000. */
  timeoutMs?: number | undefined
  /** How long all attempts of a call may take together. Default: 120,000. Streams: until they begin. */
  deadlineMs?: number | undefined
  /** Maximum number of attempts of a call. Default: 5. */
  attempts?: number | undefined
  /** Instead of the global `fetch`: one with a proxy, for example. */
  fetch?: typeof fetch | undefined
}

/** One call of an operation. */
export interface Call extends CallOptions {
  path?: Record<string, unknown> | undefined
  query?: Record<string, unknown> | undefined
  headers?: Record<string, unknown> | undefined
  body?: unknown
  contentType?: string | undefined
  /** Whether a cache of this process or browser may answer. Default: `no-store`. */
  cache?: 'default' | undefined
}

/** A response whose body has not been read. It must be read to its end, or ended. */
export interface Answer {
  status: number
  headers: Headers
  /** Yields the body as it arrives. Throws UsersyncError if it breaks or stalls. */
  texts(): AsyncGenerator<string, void, void>
  end(): void
}

const FIRST_PAUSE_MS = 250
const MAX_PAUSE_MS = 30_000

/** Sends requests, with retries. */
export class Connection {
  readonly #options: ClientOptions
  readonly #base: string

  /** Throws a TypeError if the URL is none. */
  constructor(options: ClientOptions) {
    const url = new URL(options.url)
    if (!/^https?:$/.test(url.protocol)) throw new TypeError(`url: expected http or https, found ${url.protocol}`)
    if (url.username || url.password) throw new TypeError('url: must not contain a key; use the option key')
    this.#options = options
    this.#base = url.href.replace(/[?#].*$/, '').replace(/\/+$/, '')
  }

  /** How long the service may send nothing if a call says nothing else, in milliseconds. */
  get timeoutMs(): number {
    return this.#options.timeoutMs ?? 30_000
  }

  /** Returns the body of a successful response: the value of JSON, otherwise text; undefined if there is none. */
  async read(id: keyof typeof OPERATIONS, call: Call): Promise<unknown> {
    /** Whether the service may have carried out an earlier attempt. */
    let mayBeDone = false
    return await this.#retry(id, call, async (signal) => {
      const answer = await this.#send(id, call, signal).catch((error) => {
        if (mayBeDone && error instanceof UsersyncError && isDeleted(id, error)) return undefined
        mayBeDone ||= error instanceof UsersyncError && !isNotDone(error)
        throw error
      })
      if (!answer) return undefined
      const type = answer.headers.get('content-type') ?? ''
      let text = ''
      for await (const piece of answer.texts()) text += piece
      if (text === '') return undefined
      // Only the Simple Table Server answers with HTML. Elsewhere it is a login page or another site.
      if (type.startsWith('text/html') && !id.startsWith('sts')) throw notUsersync(answer.status)
      if (!/^application\/([\w.-]+\+)?json/.test(type)) return text
      try {
        return JSON.parse(text)
      } catch {
        throw notUsersync(answer.status)
      }
    })
  }

  /** Returns a successful response, or 304, as soon as it begins. */
  async open(id: keyof typeof OPERATIONS, call: Call): Promise<Answer> {
    return await this.#retry(id, call, () => this.#send(id, call, call.signal))
  }

  /** With exponential backoff and full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015), and Retry-After. */
  async #retry<Result>(
    id: keyof typeof OPERATIONS,
    call: Call,
    task: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const { deadlineMs = 120_000, attempts = 5 } = { ...defined(this.#options), ...defined(call) }
    const end = performance.now() + deadlineMs
    let last: UsersyncError | undefined
    const late = () => last ?? new UsersyncError('timeout', `No response within ${deadlineMs} ms.`)
    const deadline = new Watchdog(call.signal, deadlineMs, late)
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          deadline.signal.throwIfAborted()
          return await task(deadline.signal)
        } catch (error) {
          if (!(error instanceof UsersyncError)) throw error
          if (attempt >= attempts || !mayRepeat(id, call, error)) throw await this.#explain(error, call)
          last = error
          const pauseMs = Math.random() * Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempt - 1))
          const pause = Math.max(error.retryAfterMs, pauseMs)
          if (performance.now() + pause > end) throw error
          await sleep(pause, deadline.signal)
        }
      }
    } finally {
      deadline.end()
    }
  }

  async #send(id: keyof typeof OPERATIONS, call: Call, signal: AbortSignal | undefined): Promise<Answer> {
    const { timeoutMs = this.timeoutMs } = call
    const { fetch: send = fetch, key } = this.#options
    const silent = () => new UsersyncError('timeout', `The service sent nothing for ${timeoutMs} ms.`)
    const watchdog = new Watchdog(signal, timeoutMs, silent)
    const { headers, body } = contentOf(call)
    if (key !== undefined) headers.set('authorization', `Bearer ${key}`)
    try {
      const response = await send(this.#urlOf(id, call), {
        ...{ method: OPERATIONS[id].method, headers, signal: watchdog.signal },
        ...(body instanceof ReadableStream ? await streamed(body, watchdog) : body !== undefined && { body }),
        // The key must not follow a redirect, and no cache may answer for the service unless the call says so.
        ...{ redirect: 'manual', cache: call.cache ?? 'no-store', credentials: 'omit' },
        ...withoutTimeouts(), // the watchdog has them
      } as RequestInit)
      watchdog.restart()
      const answer = { status: response.status, headers: response.headers, ...bodyOf(response, watchdog) }
      if (response.ok || response.status === 304) return answer
      let text = ''
      for await (const piece of answer.texts()) {
        text += piece
        if (text.length > MAX_PROBLEM_LENGTH) break
      }
      if (response.status === 503 && isReadiness(id, text))
        return { ...answer, ...bodyOf(new Response(text), watchdog) }
      throw errorOf(response, text)
    } catch (error) {
      // Reading no more than a part of an error's body aborts too.
      const isOurs = error instanceof UsersyncError || !watchdog.signal.aborted
      const reason = isOurs ? unreachable(error) : watchdog.signal.reason
      watchdog.abort() // a body that was not sent to its end is cancelled
      throw reason
    }
  }

  #urlOf(id: keyof typeof OPERATIONS, { path = {}, query = {}, body }: Call): string {
    const operation: { path: string; pool?: boolean } = OPERATIONS[id]
    const filled = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => {
      if (path[name] === undefined) throw new TypeError(`${id}: path.${name} is missing`)
      return encodeURIComponent(String(path[name]))
    })
    const parameters = new URLSearchParams()
    const { pool } = this.#options
    const isNamed = typeof body === 'object' && body !== null && 'pool' in body && body.pool !== undefined
    const all = { ...(operation.pool && !isNamed && pool !== undefined && { pool }), ...defined(query) }
    for (const [name, value] of Object.entries(all)) parameters.set(name, String(value))
    return `${this.#base}${filled}${parameters.size > 0 ? `?${parameters}` : ''}`
  }

  /** If the service has no such route, its version may be another one. Says so. */
  async #explain(error: UsersyncError, { signal }: Call): Promise<UsersyncError> {
    if (error.code !== 'route_not_found' && error.code !== 'method_not_allowed') return error
    const found = await this.version(signal).catch(() => undefined)
    return found === undefined || found === VERSION ? error : otherVersion(found)
  }

  /** Returns the version of the service. Throws UsersyncError. */
  async version(signal?: AbortSignal): Promise<string> {
    const send = this.#options.fetch ?? fetch
    const watchdog = new Watchdog(signal, 10_000, () => new UsersyncError('timeout', 'The service sends nothing.'))
    try {
      const response = await send(`${this.#base}/openapi.json`, { redirect: 'manual', signal: watchdog.signal })
      // A 503 of the service, or of a proxy in front of it, does not mean that something else is there.
      if (!response.ok) throw errorOf(response, await response.text())
      const { info } = (await response.json().catch(() => ({}))) as { info?: { title?: string; version?: string } }
      if (info?.title !== 'usersync' || info.version === undefined) throw notUsersync(response.status)
      return info.version
    } catch (error) {
      throw watchdog.signal.aborted ? watchdog.signal.reason : unreachable(error)
    } finally {
      watchdog.end()
    }
  }
}

/** The error of a service that is not of the client's version. */
export const otherVersion = (found: string) =>
  new UsersyncError('version_mismatch', `The service is usersync ${found}, and this client is made for ${VERSION}.`)

const MAX_PROBLEM_LENGTH = 1_000_000

const defined = <T extends object>(options: T): T =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T

function contentOf({ headers: given = {}, body, contentType }: Call): { headers: Headers; body?: RawBody } {
  const headers = new Headers()
  for (const [name, value] of Object.entries(given)) if (value !== undefined) headers.set(name, String(value))
  if (body === undefined) return { headers }
  headers.set('content-type', contentType ?? 'application/json')
  const isRaw =
    (typeof body === 'string' && contentType !== undefined) ||
    [Uint8Array, Blob, ReadableStream].some((type) => body instanceof type)
  return { headers, body: isRaw ? (body as RawBody) : JSON.stringify(body) }
}

/**
 * A request that sends a stream: silence is counted from its last part on. Browsers send streams over HTTP/2 only, so there the whole
 * body is read first.
 */
async function streamed(body: ReadableStream<Uint8Array>, watchdog: Watchdog) {
  const restart = new TransformStream<Uint8Array, Uint8Array>({
    transform(part, controller) {
      watchdog.restart()
      controller.enqueue(part)
    },
  })
  const watched = body.pipeThrough(restart, { signal: watchdog.signal })
  if ('document' in globalThis) return { body: await new Response(watched).blob() }
  return { body: watched, duplex: 'half' }
}

/** Aborting the request is the only way to end a body that is not read to its end. */
function bodyOf(response: Response, watchdog: Watchdog): Pick<Answer, 'texts' | 'end'> {
  return {
    end: () => watchdog.abort(),
    async *texts() {
      const reader = response.body?.getReader()
      const decoder = new TextDecoder()
      let isDone = reader === undefined
      try {
        while (reader && !isDone) {
          const { done, value } = await reader.read()
          watchdog.restart()
          isDone = done
          const text = done ? decoder.decode() : decoder.decode(value, { stream: true })
          if (text !== '') yield text
        }
      } catch (error) {
        throw watchdog.signal.aborted ? watchdog.signal.reason : unreachable(error)
      } finally {
        if (isDone) watchdog.end()
        else watchdog.abort()
      }
    },
  }
}

function unreachable(error: unknown): unknown {
  if (error instanceof UsersyncError) return error
  const { code } = ((error as Error | undefined)?.cause ?? error ?? {}) as { code?: unknown }
  const why = typeof code === 'string' ? ` (${code})` : ''
  return new UsersyncError('unreachable', `The service cannot be reached, or the connection broke${why}.`, {
    cause: error,
  })
}
