import type { ISql, Sql } from 'postgres'
import { type ExpiredBatch, expireBatches } from '../batches/expiry.ts'
import { requireWritable } from '../pools/locks.ts'
import { forgetStep, pruneStep } from '../states/retention.ts'
import { verifyPool } from '../states/verify-states.ts'
import { createUsers } from './create.ts'
import { type Job, JobFailure, jobPool, recordJob } from './job.ts'
import type { ParameterValue } from './parameters.ts'
import { pushToTargets } from './sync.ts'

const pool = { type: 'text', description: 'the pool (default: default)' } as const
const date = { type: 'date', description: 'separates this run from those of other days' } as const

/** The jobs, by name. */
export const JOBS: Record<string, Job> = {
  create: {
    description: 'creates users, and waits until they exist',
    parameters: {
      count: { type: 'integer', isRequired: true, description: 'how many' },
      pool,
      template: { type: 'text', description: 'the template with the initial settings' },
      label: { type: 'text', description: 'a label for the batch' },
      expires_in: { type: 'integer', description: 'seconds' },
      date,
    },
    run: createUsers,
  },
  expire: {
    description: 'removes the users of expired batches',
    parameters: { pool, date },
    async run({ sql, log, signal }, { parameters }) {
      const { id: poolId } = await jobPool(sql, parameters['pool'])
      await requireWritable(sql, poolId)
      const report = { batches: 0, deleted_count: 0, protected_count: 0 }
      const record = (tx: ISql, { batch_id: subject, pool, ...counts }: ExpiredBatch) =>
        recordJob(tx, 'expire', { pool, subject, counts })
      for await (const expired of expireBatches(sql, { poolId, record, signal, log })) {
        report.batches++
        report.deleted_count += expired.deleted_count
        report.protected_count += expired.protected_count
      }
      signal.throwIfAborted()
      return report
    },
  },
  prune: {
    description: 'prunes what deltas no longer need (BASE_RETENTION), in all pools',
    parameters: { date },
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
    description: 'pushes to targets, one after the other',
    parameters: {
      targets: { type: 'list', isRequired: true, description: 'their names' },
      full: { type: 'boolean', description: 'full exports, whatever state they have' },
      pool,
      date,
    },
    run: pushToTargets,
  },
  'verify-states': {
    description: 'computes all states from the users, and compares them with the recorded ones',
    parameters: { pool: { ...pool, description: 'the pool (default: all)' }, date },
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
