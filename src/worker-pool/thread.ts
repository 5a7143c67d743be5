import { parentPort, workerData } from 'node:worker_threads'
import { type ChunkOutcome, workChunk } from '../batches/chunks.ts'
import { connect } from '../database/connection.ts'

/** What a thread is given when it starts; it reads no setting itself. */
export interface ThreadOptions {
  databaseUrl: string
  schema: string
  encryptionKey: Uint8Array
}

/** The tasks that a thread does: piscina calls them by the name under which this file exports them. */
export interface Tasks {
  chunk(input: { poolId: number; batchId: string }): Promise<ChunkOutcome>
}

const { databaseUrl, schema, encryptionKey } = workerData as ThreadOptions

/**
 * A replica that is stopped and not dead (SIGSTOP, a frozen machine) would keep its locks on chunks for as long. Between two
 * statements a worker hashes for about a second, several on a machine that is busy.
 */
const LONGEST_IDLE_MS = 20_000

const name = 'usersync worker'
const sql = connect({ url: databaseUrl, schema, connections: 1, name, isService: true, longestIdleMs: LONGEST_IDLE_MS })

export const chunk: Tasks['chunk'] = ({ poolId, batchId }) =>
  workChunk(sql, poolId, batchId, Buffer.from(encryptionKey))

parentPort?.postMessage('loaded')
