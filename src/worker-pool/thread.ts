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
const sql = connect({ url: databaseUrl, schema, connections: 1, name: 'usersync worker', isService: true })

export const chunk: Tasks['chunk'] = ({ poolId, batchId }) =>
  workChunk(sql, poolId, batchId, Buffer.from(encryptionKey))

parentPort?.postMessage('loaded')
