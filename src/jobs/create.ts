import type { Sql } from 'postgres'
import { readBatch } from '../batches/batches.ts'
import { startDispatcher } from '../batches/dispatcher.ts'
import { batchBody, requestBatch } from '../batches/request-batch.ts'
import { startWorkerPool } from '../batches/worker-pool.ts'
import { schemaReader } from '../http/field-errors.ts'
import { startMemoryGuard } from '../process/memory-guard.ts'
import { drain } from '../process/shutdown.ts'
import { openEncryptionKey } from '../secrets/encryption.ts'
import { templateReader } from '../templates/settings.ts'
import { type JobContext, JobFailure, jobPool, recordJob, untilEnded } from './job.ts'
import type { JobRun } from './job-runs.ts'

/** Requests the batch of this run, or finds that of an interrupted attempt, and creates its users. Returns the ended batch. */
export async function createUsers(context: JobContext, run: JobRun): Promise<Record<string, unknown>> {
  const { sql, config, signal } = context
  const { pool: poolName, date: _, seed, epoch, ...parameters } = run.parameters
  const pool = await jobPool(sql, poolName)
  const body = schemaReader(
    batchBody(config),
    'body',
  )({
    ...parameters,
    config: { ...(seed !== undefined && { seed }), ...(epoch !== undefined && { epoch }) },
  })
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
  const workers = startWorkerPool(config.maxWorkers, { databaseUrl, schema: config.schema, encryptionKey })
  started.defer(() => workers.close())
  const memory = startMemoryGuard(config.memoryLimitMb * 1_048_576, () => workers.inWork() > 0, log)
  started.defer(() => memory.stop())
  const dispatcher = await startDispatcher({ sql, workers, memory, log })
  const milliseconds = config.drainSeconds * 1000
  started.defer(() => drain(log, [{ step: 'chunks in progress', milliseconds, run: () => dispatcher.drain() }]))
  return started.move()
}

/**
 * Returns the idempotency key for the batch of a run: the key of the batch that an earlier attempt started, so that there is no
 * second one, or a new key if that batch is lost (see `missingUsersReason`).
 *
 * Keys start with the run id, followed by a space if there is more. The range up to `!`, the character after the space, uses the
 * index of keys; `starts_with` would scan all batches. The owner is '': a job has no API key.
 */
export async function batchKey(sql: Sql, run: JobRun, pool: string): Promise<string> {
  const [last] = await sql<{ id: string; key: string }[]>`
    select b.id, b.idempotency_key as key from batches b join pools p on p.id = b.pool_id
    where p.name = ${pool} and b.idempotency_owner = ''
      and b.idempotency_key >= ${run.id}::text and b.idempotency_key < ${run.id}::text || '!'
    order by b.id desc limit 1`
  if (!last) return run.id
  return (await missingUsersReason(sql, pool, last.id)) ? `${run.id} after ${last.id}` : last.key
}

/**
 * Says what happened to a batch that no longer has its users, or will not get them; otherwise undefined. The scope's count says
 * whether it has users: searching for one of its users scanned the whole table.
 */
export async function missingUsersReason(sql: Sql, pool: string, id: string): Promise<string | undefined> {
  const [batch] = await sql<{ status: string; made: number; is_empty: boolean }[]>`
    select b.status, b.created_count as made,
      coalesce((
        select s.user_count from scopes s
        where s.pool_id = b.pool_id and s.batch_id = b.id and not s.test_users_only and not s.bulk_users_only offset 0
      ), 0) = 0 as is_empty
    from batches b join pools p on p.id = b.pool_id
    where p.name = ${pool} and b.id = ${id}`
  if (!batch) return 'was removed with its pool'
  const { status, made, is_empty } = batch
  if (status === 'cancelled') return `was cancelled or deleted when ${made} of its users were created`
  if (status === 'failed') return `failed when ${made} of its users were created; the log of the service has the error`
  return made > 0 && is_empty ? 'was deleted' : undefined
}
