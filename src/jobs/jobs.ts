import type { ISql, Sql } from 'postgres'
import { type ExpiredBatch, expireBatches } from '../batches/expiry.ts'
import { distributeSchema, distributionFaults, missingForDistribution } from '../database/citus/distribute.ts'
import { requireProtection } from '../database/protection.ts'
import { createExports } from '../export/exports.ts'
import { schemaReader } from '../http/field-errors.ts'
import { requireWritable } from '../pools/locks.ts'
import { openEncryptionKey } from '../secrets/encryption.ts'
import { forgetStep, pruneStep } from '../states/retention.ts'
import { verifyPool } from '../states/verify-states.ts'
import { readRun, requestRun } from '../sync/sync-runs.ts'
import { startSyncScheduler } from '../sync/sync-scheduler.ts'
import { RunBody } from '../sync/sync-schema.ts'
import { createUsers } from './create.ts'
import { JOB_DESCRIPTIONS } from './descriptions.ts'
import { type Job, type JobContext, JobFailure, jobPool, recordJob, untilEnded } from './job.ts'
import type { JobRun } from './job-runs.ts'
import type { ParameterValue } from './parameters.ts'

/** The jobs, by name. */
export const JOBS: Record<string, Job> = {
  create: {
    ...JOB_DESCRIPTIONS.create,
    run: createUsers,
  },
  distribute: {
    ...JOB_DESCRIPTIONS.distribute,
    async run({ sql, databaseUrl, config: { schema } }) {
      const missing = await missingForDistribution(sql)
      if (missing.length > 0) throw new JobFailure(missing.join('; '))
      const isMoved = await distributeSchema(sql, schema)
      const faults = await distributionFaults(sql, schema)
      if (faults.length > 0) throw new JobFailure(faults.join('; '))
      await requireProtection(databaseUrl, schema)
      return { schema, is_moved: isMoved }
    },
  },
  expire: {
    ...JOB_DESCRIPTIONS.expire,
    async run({ sql, log, signal }, { parameters }) {
      const { id: poolId } = await jobPool(sql, parameters['pool'])
      await requireWritable(sql, poolId)
      const report = { batches: 0, deleted_count: 0, protected_count: 0 }
      const record = (tx: ISql, { batch_id: subject, pool, ...counts }: ExpiredBatch) =>
        recordJob(tx, 'expire', { pool, subject, counts })
      const left: string[] = []
      const onSkip = (id: string) => void left.push(id)
      for await (const expired of expireBatches(sql, { poolId, record, onSkip, signal, log })) {
        report.batches++
        report.deleted_count += expired.deleted_count
        report.protected_count += expired.protected_count
      }
      signal.throwIfAborted()
      if (left[0]) {
        const why = 'it or its users are locked, or the log has the error; the same call continues'
        throw new JobFailure(`${report.batches} batches were removed; ${left[0]} was not: ${why}`)
      }
      return report
    },
  },
  prune: {
    ...JOB_DESCRIPTIONS.prune,
    async run({ sql, config, signal }) {
      const pruned = { commits: 0, tombstones: 0, forgotten: 0 }
      for (const { id } of await poolsOf(sql, undefined)) {
        for (;;) {
          signal.throwIfAborted()
          const { commits, tombstones } = await pruneStep(sql, id, config.baseRetention)
          const forgotten = await forgetStep(sql, id, config.baseRetention)
          pruned.commits += commits
          pruned.tombstones += tombstones
          pruned.forgotten += forgotten
          if (commits + forgotten === 0) break
        }
      }
      return pruned
    },
  },
  sync: {
    ...JOB_DESCRIPTIONS.sync,
    run: pushToTargets,
  },
  'verify-states': {
    ...JOB_DESCRIPTIONS['verify-states'],
    async run({ sql, signal }, { parameters }) {
      const verified = []
      for (const one of await poolsOf(sql, parameters['pool'])) {
        signal.throwIfAborted()
        verified.push(await verifyPool(sql, one))
      }
      const wrong = verified.filter((pool) => pool.wrong.length > 0)
      if (wrong.length > 0) throw new JobFailure(`the recorded states do not match the users: ${JSON.stringify(wrong)}`)
      return { pools: verified.map(({ pool, user_count }) => ({ pool, user_count })) }
    },
  },
}

/** Returns all pools, or the one with this name. Throws JobFailure if there is none. */
async function poolsOf(sql: Sql, name: ParameterValue | undefined): Promise<{ id: number; name: string }[]> {
  const pools = await sql<{ id: number; name: string }[]>`
    select id, name from pools where ${name === undefined ? sql`true` : sql`name = ${String(name)}`} order by id`
  if (pools.length === 0) throw new JobFailure(`there is no pool ${name}`)
  return pools
}

const readRunBody = schemaReader(RunBody, 'body')

/**
 * Pushes to the targets, one after the other. This process pushes, since no service may be running; one that runs may take the runs
 * too. Throws JobFailure if a target is not in sync afterwards.
 */
async function pushToTargets(context: JobContext, { parameters }: JobRun): Promise<Record<string, unknown>> {
  const { sql, config, log, signal } = context
  const { full = false } = parameters
  const names = parameters['targets'] as string[]
  const pool = await jobPool(sql, parameters['pool'])
  const encryptionKey = await openEncryptionKey(sql, config)
  const waitMs = config.waitSeconds * 1000
  const exports = createExports({ sql, encryptionKey, concurrency: config.exportConcurrency, waitMs, cache: undefined })
  const only = { poolId: pool.id, names }
  const scheduler = startSyncScheduler({ sql, exports, encryptionKey, targetHosts: config.targetHosts, only }, log)
  await using stack = new AsyncDisposableStack()
  stack.defer(() => scheduler.stop())

  const targets = []
  for (const name of names) {
    const body = readRunBody({ target: name, full })
    const { id } = await requestRun(sql, pool.id, body.target, { full: body.full ?? false })
    await recordJob(sql, 'sync', { pool: pool.name, subject: id, counts: {} })
    scheduler.wake()
    const { target, kind, failure, detail } = await untilEnded(() => readRun(sql, pool.id, id), signal)
    targets.push({ target, kind, failure, detail })
  }
  const behind = targets.filter(({ failure }) => failure !== null)
  if (behind.length > 0) throw new JobFailure(behind.map(({ target, detail }) => `${target}: ${detail}`).join('; '))
  return { targets }
}
