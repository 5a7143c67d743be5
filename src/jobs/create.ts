import { readBatch } from '../batches/batches.ts'
import { startDispatcher } from '../batches/dispatcher.ts'
import { batchBody, requestBatch } from '../batches/request-batch.ts'
import { startWorkerPool } from '../batches/worker-pool.ts'
import { schemaReader } from '../http/field-errors.ts'
import { drain } from '../process/drain.ts'
import { startMemoryGuard } from '../process/memory-guard.ts'
import { openEncryptionKey } from '../secrets/encryption-key-check.ts'
import { templateReader } from '../templates/settings.ts'
import { batchKey, missingUsersReason } from './batch-recovery.ts'
import { type JobContext, JobFailure, jobPool, recordJob, untilEnded } from './job.ts'
import type { JobRun } from './job-runs.ts'

/** Requests the batch of this run, or finds that of an interrupted attempt, and creates its users. Returns the ended batch. */
export async function createUsers(context: JobContext, run: JobRun): Promise<Record<string, unknown>> {
  const { sql, config, signal } = context
  const { pool: poolName, date: _, ...parameters } = run.parameters
  const pool = await jobPool(sql, poolName)
  const body = schemaReader(batchBody(config), 'body')(parameters)
  const encryptionKey = await openEncryptionKey(sql, config)
  const idempotency = { owner: '', key: await batchKey(sql, run, pool.name) }
  const withTemplate = templateReader(sql, config)
  const id = await requestBatch({ config, sql, encryptionKey, withTemplate }, { pool, body, idempotency })
  await recordJob(sql, 'create', { pool: pool.name, subject: id, counts: { total_requested: body.count } })

  await using _workers = await startWorkers(context, encryptionKey)
  const batch = await untilEnded(() => readBatch(sql, pool.id, id), signal)
  const loss = await missingUsersReason(sql, pool.name, id)
  if (loss) throw new JobFailure(`the batch ${id} ${loss}: the same call creates another`)
  return { ...batch }
}

/**
 * Starts the workers and their dispatcher: no service may be running. One that runs shares the work. Disposing waits for the chunks
 * in progress as long as a service does.
 */
async function startWorkers({ sql, databaseUrl, config, log }: JobContext, encryptionKey: Buffer) {
  await using started = new AsyncDisposableStack()
  const memory = startMemoryGuard(config.memoryLimitMb * 1_048_576, log)
  started.defer(() => memory.stop())
  const workers = startWorkerPool(config.maxWorkers, { databaseUrl, schema: config.schema, encryptionKey })
  started.defer(() => workers.close())
  const dispatcher = await startDispatcher({ sql, workers, memory, log })
  const milliseconds = config.drainSeconds * 1000
  started.defer(() => drain(log, [{ step: 'chunks in progress', milliseconds, run: () => dispatcher.drain() }]))
  return started.move()
}
