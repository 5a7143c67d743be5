import type { Coding } from '../src/http/content-coding.ts'
import { drainResponse } from './drain-response.ts'
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
export async function downloadBare(address: string, expected: number, signal: AbortSignal): Promise<void> {
  const { bytes } = await drainResponse(new URL(`/bytes/${expected}`, address), {}, signal)
  if (bytes !== expected) throw new Error(`the bare route sent ${bytes} of ${expected} bytes`)
}

/**
 * Requests an export as NDJSON on a new connection. Throws if the status is not 200, the encoding differs, or it is
 * cut.
 */
export async function download(address: string, { pool, coding, base, signal }: ExportRequest): Promise<Download> {
  const url = new URL(`/v1/users/export?pool=${pool.name}&format=ndjson`, address)
  if (base !== undefined) url.searchParams.set('base', base)
  const start = performance.now()
  const { status, headers, bytes } = await drainResponse(url, { 'accept-encoding': coding }, signal)
  const milliseconds = performance.now() - start
  const given = headers['content-encoding'] ?? 'identity'
  if (status !== 200 || given !== coding) throw new Error(`an export in ${coding} was answered with ${status} ${given}`)
  return {
    milliseconds,
    bytes,
    kind: String(headers['usersync-kind']),
    state: String(headers['usersync-state']),
    wasFinished: headers['content-length'] !== undefined,
  }
}
