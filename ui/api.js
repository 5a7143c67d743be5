import { currentPool } from './route.js'
import { askForKey, readKey } from './session.js'
import { createStore } from './store.js'

/** The root of the API, relative to the page: a proxy may have put both under a path. */
const ROOT = new URL('../', document.baseURI)

/** Statuses of a proxy, without a problem of the service in the body: the service is gone. */
const GONE = [502, 503, 504]

/** Whether the last request reached the service. */
export const connection = createStore(/** @type {'unknown' | 'present' | 'lost'} */ ('unknown'))

/** An answer of the service that is not a success, or no answer (`status` 0). */
export class ApiError extends Error {
  /** @param {{ status: number, title: string, detail: string, code?: string, instance?: string, errors?: FieldFault[], answer?: any }} problem */
  constructor({ status, title, detail, code = '', instance = '', errors = [], answer }) {
    super(detail)
    this.status = status
    this.title = title
    this.code = code
    /** Finds the request in the service's log. */
    this.requestId = instance
    this.fieldFaults = errors
    /** The JSON of an answer that is no problem, such as that of /healthz. */
    this.answer = answer
  }
}

/** The address of a route. @param {string} path @param {Pick<ApiRequest, 'query' | 'pool'>} [request] */
export function urlOf(path, { query = {}, pool = currentPool() } = {}) {
  const url = new URL(path, ROOT)
  if (pool !== null && pool !== 'default') url.searchParams.set('pool', pool)
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') url.searchParams.set(name, String(value))
  }
  return url
}

/**
 * Sends a request with the key of this tab and returns the response. Throws ApiError if it is not a success. An aborted request
 * throws an AbortError.
 *
 * @type {Send<Response>}
 */
export async function send(method, path, { query, body, headers, signal, pool } = {}) {
  const key = readKey()
  const url = urlOf(path, { query, pool })
  const response = await fetch(url, {
    method,
    headers: {
      ...(key && { authorization: `Bearer ${key}` }),
      ...(body && { 'content-type': 'application/json' }),
      ...headers,
    },
    cache: 'no-store',
    credentials: 'omit',
    body: body ? JSON.stringify(body) : null,
    signal: signal ?? null,
  }).catch((error) => {
    if (signal?.aborted && error.name !== 'TimeoutError') throw error
    connection.set('lost')
    throw new ApiError({ status: 0, title: 'No answer', detail: 'The service cannot be reached.' })
  })
  if (response.ok) {
    connection.set('present')
    return response
  }
  const error = await errorOf(response)
  connection.set(!error.code && !error.answer && GONE.includes(error.status) ? 'lost' : 'present')
  if (error.code === 'unauthorized') askForKey()
  throw error
}

/** Sends a request and returns the JSON of the answer; undefined if there is none. @type {Send<any>} */
export async function call(method, path, request = {}) {
  // The slowest changes wait 60 s. A service that does not answer a read in 15 s hangs.
  const timeout = AbortSignal.timeout(method === 'GET' ? 15_000 : 70_000)
  const signal = request.signal ? AbortSignal.any([request.signal, timeout]) : timeout
  const response = await send(method, path, { ...request, signal })
  const text = await response.text()
  return text === '' ? undefined : parseJson(text)
}

/** Reads the body of a response as it comes. Safari cannot iterate over a stream itself. @param {Response} response */
export async function* piecesOf(response) {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  if (reader === undefined) return
  try {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) yield piece.value
  } finally {
    await reader.cancel().catch(() => {}) // it may have been aborted
  }
}

/** Parses JSON and keeps all digits of its numbers. */
export const parseJson = (/** @type {string} */ text) => JSON.parse(text, keepDigits)

/**
 * Keeps numbers that JavaScript would write otherwise, such as ids of 20 digits or 0.10 in attributes, as their own text.
 *
 * @param {string} _name
 * @param {unknown} value
 * @param {{ source?: string }} [context]
 */
function keepDigits(_name, value, context) {
  if (typeof value !== 'number' || context?.source === undefined || String(value) === context.source) return value
  const { rawJSON } = /** @type {{ rawJSON?: (text: string) => unknown }} */ (JSON)
  return rawJSON?.(context.source) ?? value
}

/** Whether a value is a JSON object. A number that kept its digits is none. */
export const isObject = (/** @type {any} */ value) =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  !('rawJSON' in value && Object.isFrozen(value))

/** @param {Response} response */
async function errorOf(response) {
  const problem = await response.json().catch(() => undefined)
  const requestId = response.headers.get('x-request-id') ?? ''
  if (typeof problem?.code === 'string') return new ApiError({ instance: requestId, ...problem })
  const { status, statusText } = response
  return new ApiError({
    status,
    title: `HTTP ${status} ${statusText}`,
    detail: 'The answer is not from the service.',
    answer: problem,
  })
}
