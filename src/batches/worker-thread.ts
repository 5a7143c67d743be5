import { parentPort, workerData } from 'node:worker_threads'
import { connect } from '../database/connection.ts'
import { type ChunkOutcome, workChunk } from './chunks.ts'

/** The start data of a thread, which reads no settings itself. */
export interface ThreadOptions {
  databaseUrl: string
  schema: string
  encryptionKey: Uint8Array
  /** How long a worker's transaction may be idle; IDLE_TIMEOUT_MS if it is not given. */
  idleTimeoutMs?: number | undefined
  silenceMs?: number | undefined
}

/** The tasks of a thread. Piscina calls them by the exported names of this file. */
export interface Tasks {
  chunk(input: { poolId: number; batchId: string }): Promise<ChunkOutcome>
}

/**
 * A replica that is suspended but not dead (SIGSTOP, a frozen machine) keeps its locks on chunks for this long. Between
 * two statements a worker hashes for about a second, or for several on a busy machine.
 */
const IDLE_TIMEOUT_MS = 20_000

const { databaseUrl, schema, encryptionKey, silenceMs, idleTimeoutMs = IDLE_TIMEOUT_MS } = workerData as ThreadOptions
const name = 'usersync worker'
const sql = connect({ url: databaseUrl, schema, connections: 1, name, isService: true, idleTimeoutMs, silenceMs })

export const chunk: Tasks['chunk'] = ({ poolId, batchId }) =>
  workChunk(sql, poolId, batchId, Buffer.from(encryptionKey))

parentPort?.postMessage('loaded')
