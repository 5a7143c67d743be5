import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import type { Coding } from '../src/http/content-coding.ts'
import type { Pool } from './export-pools.ts'

/** An export as received by a client that discards the body. */
export interface Download {
  /** From the first byte sent, including the connection, to the last one received. */
  milliseconds: number
  /** The encoded body. */
  bytes: number
  kind: string
  state: string
  /** Whether it was complete when the response started, like one from the cache. */
  wasFinished: boolean
}

interface ExportRequest {
  pool: Pool
  coding: Coding
  /** The state that the client holds. */
  base?: string
  signal: AbortSignal
}

/** Requests so many bytes of the bare route on a new connection. Throws if they are not all sent. */
export async function downloadBare(address: string, bytes: number, signal: AbortSignal): Promise<void> {
  const outgoing = request(new URL(`/bytes/${bytes}`, address), { agent: false, signal })
  outgoing.on('error', () => {})
  outgoing.end()
  const [incoming]: IncomingMessage[] = await once(outgoing, 'response')
  if (!incoming) throw new Error('the bare route sent no response')
  const received = await countBytes(incoming)
  if (received !== bytes) throw new Error(`the bare route sent ${received} of ${bytes} bytes`)
}

async function countBytes(incoming: IncomingMessage): Promise<number> {
  let bytes = 0
  for await (const chunk of incoming) bytes += (chunk as Buffer).length
  return bytes
}

/**
 * Requests an export as NDJSON on a new connection. Throws if the status is not 200, the encoding differs, or it is
 * cut.
 */
export async function download(address: string, { pool, coding, base, signal }: ExportRequest): Promise<Download> {
  const url = new URL(`/v1/users/export?pool=${pool.name}&format=ndjson`, address)
  if (base !== undefined) url.searchParams.set('base', base)
  const start = performance.now()
  const outgoing = request(url, { headers: { 'accept-encoding': coding }, agent: false, signal })
  outgoing.on('error', () => {}) // `once` and the code below see it too, but not always
  outgoing.end()
  const [incoming]: IncomingMessage[] = await once(outgoing, 'response')
  if (!incoming) throw new Error('an export got no response')
  const bytes = await countBytes(incoming)
  const milliseconds = performance.now() - start
  const { statusCode, headers } = incoming
  const given = headers['content-encoding'] ?? 'identity'
  if (statusCode !== 200 || given !== coding)
    throw new Error(`an export in ${coding} was answered with ${statusCode} ${given}`)
  return {
    milliseconds,
    bytes,
    kind: String(headers['usersync-kind']),
    state: String(headers['usersync-state']),
    wasFinished: headers['content-length'] !== undefined,
  }
}
