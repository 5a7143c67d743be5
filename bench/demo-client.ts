import { once } from 'node:events'
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib'
import type { ExportHead } from '../src/protocol/read-export.ts'
import { applyExport, type Held } from '../test/export/apply-export.ts'

/** The decoder of each content encoding. */
const DECODERS = {
  identity: (body: Buffer) => body,
  zstd: (body: Buffer) => zstdDecompressSync(body),
  br: (body: Buffer) => brotliDecompressSync(body),
  gzip: (body: Buffer) => gunzipSync(body),
  deflate: (body: Buffer) => inflateSync(body),
}

export type Coding = keyof typeof DECODERS
export const CODINGS = Object.keys(DECODERS) as Coding[]

/** A response with its encoded body. */
export interface Answer {
  headers: IncomingHttpHeaders
  body: Buffer
  /** All bytes received on the connection: headers, framing and body. */
  wireBytes: number
  /** From the first byte sent to the last one received. */
  milliseconds: number
}

interface Request {
  method?: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  headers?: Record<string, string>
  json?: unknown
  /** The expected status of the response. */
  expected: number
  signal: AbortSignal
}

/** Sends one request on a new connection. Throws if it fails or has another status. */
export async function send(
  url: URL,
  { method = 'GET', headers = {}, json, expected, signal }: Request,
): Promise<Answer> {
  const start = performance.now()
  const contentType = json === undefined ? {} : { 'content-type': 'application/json' }
  const outgoing = request(url, { method, headers: { ...headers, ...contentType }, agent: false, signal })
  outgoing.on('error', () => {}) // `once` and the code below see it too, but not always
  outgoing.end(json === undefined ? undefined : JSON.stringify(json))
  const [incoming]: IncomingMessage[] = await once(outgoing, 'response')
  if (!incoming) throw new Error(`${method} ${url.pathname}: no response`)
  const body = Buffer.concat(await incoming.toArray())
  const milliseconds = performance.now() - start
  if (incoming.statusCode !== expected) {
    const text = body.toString('utf8', 0, 300)
    throw new Error(`${method} ${url.pathname}: expected status ${expected}, got ${incoming.statusCode} ${text}`)
  }
  return { headers: incoming.headers, body, wireBytes: outgoing.socket?.bytesRead ?? 0, milliseconds }
}

/** An export that was fetched and applied, and whose state was verified. */
export interface Export extends Answer {
  head: ExportHead
  held: Held
}

/**
 * Fetches the NDJSON export in `coding`, as a client that has `held` (undefined: nothing), and applies it. Throws if
 * the encoding differs, or if the users do not add up to the state in the body and the headers.
 */
export async function fetchExport(
  address: string,
  { coding, held, signal }: { coding: Coding; held: Held | undefined; signal: AbortSignal },
): Promise<Export> {
  const url = new URL('/v1/users/export', address)
  if (held?.state) url.searchParams.set('base', held.state)
  const headers = { accept: 'application/x-ndjson', 'accept-encoding': coding }
  const answer = await send(url, { headers, expected: 200, signal })
  const given = answer.headers['content-encoding'] ?? 'identity'
  if (given !== coding) throw new Error(`requested the encoding ${coding}, got ${given}`)
  const text = DECODERS[coding](answer.body).toString('utf8')
  const { head, held: result } = applyExport(held ?? { state: undefined, lines: new Map() }, text)
  if (answer.headers.etag !== `W/"${head.state}"`)
    throw new Error(`the ETag ${answer.headers.etag} is not the state of the body`)
  return { ...answer, head, held: result }
}
