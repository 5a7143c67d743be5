import { request } from 'undici'
import { asPeerError, connectAgent, faultOf, PeerError, retryAfterOf } from '../../client/peer.ts'

/** A request to the API of a target. */
export interface ApiCall {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Behind the URL of the target, with the query. */
  path: string
  headers?: Record<string, string>
  /** An object is sent as JSON. */
  body?: object | string | Buffer | undefined
}

export interface ApiAnswer {
  status: number
  headers: Record<string, string | string[] | undefined>
  /** Undefined if the answer has no body, or another one than JSON. */
  json: unknown
}

export type CallApi = (call: ApiCall) => Promise<ApiAnswer>

interface ApiOptions {
  /** The base URL. */
  url: string
  /** Sent with each request: the authorization, and media types other than JSON. */
  headers: Record<string, string>
  signal: AbortSignal
  /** How long the target may send nothing. */
  silenceMs?: number
}

const SILENCE_MS = 30_000

/** Maximum size of an answer. A bulk answer has a few hundred bytes per user. */
const MAX_ANSWER = 16 * 1024 * 1024

/**
 * Returns a function that calls a JSON API. It returns answers of 2xx and 4xx, since 404 and 409 say something about a single user. It
 * throws PeerError for what concerns the target as a whole: no connection, 401, 403, 408, 429 and 5xx, with the target's Retry-After.
 * It throws the reason of `signal` once that aborts.
 */
export function jsonApi({ url, headers, signal, silenceMs = SILENCE_MS }: ApiOptions): CallApi {
  const base = url.replace(/\/+$/, '')
  return async ({ method, path, headers: more, body }) => {
    const isObject = typeof body === 'object' && !Buffer.isBuffer(body)
    const contentType = isObject && { 'content-type': 'application/json' }
    try {
      const answer = await request(base + path, {
        dispatcher: connectAgent(),
        method,
        headers: { accept: 'application/json', ...contentType, ...headers, ...more },
        body: isObject ? JSON.stringify(body) : (body ?? null),
        signal,
        headersTimeout: silenceMs,
        bodyTimeout: silenceMs,
      })
      answer.body.on('error', () => {}) // an unread response that fails would end the process
      const text = await readText(answer.body)
      const fault = faultOf(answer.statusCode)
      if (answer.statusCode >= 300 && fault !== 'refused') {
        const retryAfterMs = retryAfterOf(answer.headers['retry-after'])
        throw new PeerError(fault, `The target answers with status ${answer.statusCode}.`, { retryAfterMs })
      }
      return { status: answer.statusCode, headers: answer.headers, json: asJson(text) }
    } catch (error) {
      if (signal.aborted) throw signal.reason
      throw asPeerError(error)
    }
  }
}

async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of body) {
    size += part.length
    if (size > MAX_ANSWER) throw new PeerError('not_understood', 'The target sends an answer of more than 16 MiB.')
    parts.push(part)
  }
  return Buffer.concat(parts).toString()
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
