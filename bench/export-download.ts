import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import type { Coding } from '../src/http/content-coding.ts'
import type { Pool } from './export-pools.ts'

/** An export as a client got it who keeps nothing of the body. */
export interface Download {
  /** From the first byte sent, the connecting included, to the last one received. */
  milliseconds: number
  /** Of the body, as it was coded. */
  bytes: number
  kind: string
  state: string
  /** Whether it was whole already when the answer began, as one from the cache is. */
  wasFinished: boolean
}

interface Asked {
  pool: Pool
  coding: Coding
  /** The state that the client holds. */
  base?: string
  signal: AbortSignal
}

/** Asks for an export in NDJSON over a connection of its own. Throws where it is not 200, in another coding, or cut. */
export async function download(address: string, { pool, coding, base, signal }: Asked): Promise<Download> {
  const url = new URL(`/v1/users/export?pool=${pool.name}&format=ndjson`, address)
  if (base !== undefined) url.searchParams.set('base', base)
  const start = performance.now()
  const outgoing = request(url, { headers: { 'accept-encoding': coding }, agent: false, signal })
  outgoing.on('error', () => {}) // `once` and the reading below see it too, but not at every moment
  outgoing.end()
  const [incoming]: IncomingMessage[] = await once(outgoing, 'response')
  if (!incoming) throw new Error('an export was not answered')
  let bytes = 0
  for await (const chunk of incoming) bytes += (chunk as Buffer).length
  const milliseconds = performance.now() - start
  const { statusCode, headers } = incoming
  const given = headers['content-encoding'] ?? 'identity'
  if (statusCode !== 200 || given !== coding) throw new Error(`an export in ${coding} came as ${statusCode} ${given}`)
  return {
    milliseconds,
    bytes,
    kind: String(headers['usersync-kind']),
    state: String(headers['usersync-state']),
    wasFinished: headers['content-length'] !== undefined,
  }
}
