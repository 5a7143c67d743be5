import type { FormData } from 'undici'
import { asPeerError, faultOf, PeerError, request, retryAfterOf } from '../../client/peer.ts'
import { plainHttpUrl, withoutBrackets } from '../../config/url.ts'
import type { FieldError } from '../../errors.ts'

/** A request to the API of a target. */
export interface ApiCall {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Behind the URL of the target, with the query. */
  path: string
  headers?: Record<string, string>
  /** An object is sent as JSON, a text as it is. */
  body?: object | string | undefined
  /** Sent in place of a body. */
  form?: FormData
}

export interface ApiAnswer {
  status: number
  headers: Record<string, string | string[] | undefined>
  /** Undefined if the answer has no body, or another one than JSON. */
  json: unknown
  /** Whether the body is none of the API's: something else than JSON, such as the page of a proxy, or nothing. */
  isForeign?: boolean
}

export type CallApi = (call: ApiCall) => Promise<ApiAnswer>

interface ApiOptions {
  /** The base URL. */
  url: string
  /** Sent with each request, such as the authorization. */
  headers: Record<string, string>
  /** The media type of bodies. Default: `application/json`. */
  mediaType?: string
  /** Whether the API's own answers may have no body if a user is not there. Default: false. */
  mayBeEmpty?: boolean
  signal: AbortSignal
  /** How long an answer may take to arrive, after its head. */
  answerMs?: number
}

/** How long the target may send nothing. */
const SILENCE_MS = 30_000

/** An answer that arrives byte by byte never breaks the silence limit. */
const ANSWER_MS = 60_000

/** Maximum size of an answer. A bulk answer has a few hundred bytes per user. */
const MAX_ANSWER = 16 * 1024 * 1024

/** Reads the URL of an API: http or https, with an optional path. Returns faults if it is not one. */
export function readApiUrl(text: string): { url: string; key: undefined; hosts: string[] } | FieldError[] {
  const url = plainHttpUrl(text)
  if (url) return { url: url.href.replace(/\/+$/, ''), key: undefined, hosts: [withoutBrackets(url.hostname)] }
  const message =
    'expects http://host:port/path or https://host/path, with a port from 1 to 65535 and without user, query or fragment'
  return [{ path: 'body.url', code: 'format', message }]
}

/** Advice for statuses that concern the target as a whole. */
const HINTS: [status: RegExp, hint: string][] = [
  [/^40[13]$/, ' The key is wrong, or lacks a permission.'],
  [/^3/, ' It is a redirection, which is not followed: give the url that it leads to.'],
]

/**
 * Returns a function that calls a JSON API. It returns answers of 2xx and 4xx, since 404 and 409 say something about a single user. It
 * throws PeerError for what concerns the target as a whole: no connection, 401, 403, 408, 429 and 5xx, with the target's Retry-After.
 * It throws the reason of `signal` once that aborts.
 */
export function jsonApi({ url, headers, mediaType = 'application/json', ...options }: ApiOptions): CallApi {
  const { signal, answerMs = ANSWER_MS, mayBeEmpty = false } = options
  const base = url.replace(/\/+$/, '')
  return async ({ method, path, headers: more, body, form }) => {
    // A request without a body has no type: Fastify rejects an empty body of a type that it parses.
    const contentType = body !== undefined && { 'content-type': mediaType }
    try {
      const answer = await request(base + path, {
        method,
        headers: { accept: mediaType, ...contentType, ...headers, ...more },
        body: form ?? (typeof body === 'object' ? JSON.stringify(body) : (body ?? null)),
        signal,
        headersTimeout: SILENCE_MS,
        bodyTimeout: SILENCE_MS,
      })
      const text = await readText(answer.body, answerMs)
      const { statusCode: status } = answer
      const fault = faultOf(status)
      if (status >= 300 && fault !== 'refused') {
        const [, hint = ''] = HINTS.find(([statuses]) => statuses.test(String(status))) ?? []
        const retryAfterMs = retryAfterOf(answer.headers['retry-after'])
        throw new PeerError(fault, `The target answers with status ${status}.${hint}`, {
          retryAfterMs,
          ...(status === 403 && { mayConcernOne: true }),
        })
      }
      const json = asJson(text)
      return { status, headers: answer.headers, json, isForeign: json === undefined && !(mayBeEmpty && text === '') }
    } catch (error) {
      if (signal.aborted) throw signal.reason
      throw asPeerError(error)
    }
  }
}

async function readText(body: AsyncIterable<Buffer>, answerMs: number): Promise<string> {
  const deadline = performance.now() + answerMs
  const parts: Buffer[] = []
  let size = 0
  for await (const part of body) {
    size += part.length
    if (size > MAX_ANSWER) throw new PeerError('not_understood', 'The target sends an answer of more than 16 MiB.')
    if (performance.now() > deadline) throw new PeerError('timeout', 'The target sends its answer too slowly.')
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
