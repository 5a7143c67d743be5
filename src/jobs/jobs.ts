import { setTimeout as sleep } from 'node:timers/promises'
import type { Sql } from 'postgres'
import type { Config } from '../config/config.ts'
import type { Service } from '../service.ts'
import { forgetStep, pruneStep } from '../states/prune.ts'
import { verifyPool } from '../states/verify-states.ts'
import { batchKey, lossOf } from './batch-recovery.ts'
import type { JobRun } from './job-runs.ts'
import type { Parameters, ParameterValue } from './parameters.ts'

/** What jobs work with. */
export interface JobContext {
  /** The service in this process, which does not listen; started when it is first asked for. */
  app: () => Promise<Service['app']>
  sql: Sql
  config: Config
  signal: AbortSignal
}

export interface Job {
  description: string
  parameters: Parameters
  /** Does the work, also what an earlier attempt has left; gives what is told of it. Throws JobFailure. */
  run(context: JobContext, run: JobRun): Promise<Record<string, unknown>>
}

/** Thrown where a job could not do its work. The message is fit for a person. */
export class JobFailure extends Error {
  override name = 'JobFailure'
}

const pool = { type: 'text', description: 'the pool (default: default)' } as const
const date = { type: 'date', description: 'tells this run from those of other days' } as const

/** The jobs by their names. */
export const JOBS: Record<string, Job> = {
  create: {
    description: 'makes users, and waits until they are there',
    parameters: {
      count: { type: 'integer', isRequired: true, description: 'how many' },
      pool,
      template: { type: 'text', description: 'the settings to begin with' },
      label: { type: 'text', description: 'a label for the batch' },
      expires_in: { type: 'integer', description: 'seconds' },
      date,
    },
    async run(context, run) {
      const { pool = 'default', date: _, ...body } = run.parameters
      const headers = { 'idempotency-key': await batchKey(context.sql, run, String(pool)) }
      const { id } = await call(context, {
        method: 'POST',
        url: urlOf`/v1/batches?pool=${pool}`,
        payload: body,
        headers,
      })
      const batch = await ended(context, urlOf`/v1/batches/${id}?pool=${pool}`)
      const loss = await lossOf(context.sql, String(pool), String(id))
      if (loss) throw new JobFailure(`the batch ${id} ${loss}: the same call makes another`)
      return batch
    },
  },
  expire: {
    description: 'removes the users of batches whose time is over',
    parameters: { pool, date },
    async run(context, { parameters }) {
      const url = urlOf`/v1/lifecycle/expire?pool=${parameters['pool'] ?? 'default'}`
      let batches = 0
      const counts = { deleted_count: 0, protected_count: 0 }
      for (;;) {
        const report = await call(context, { method: 'POST', url, payload: {} })
        const { length } = report['batches'] as unknown[]
        batches += length
        counts.deleted_count += Number(report['deleted_count'])
        counts.protected_count += Number(report['protected_count'])
        if (!report['more'] || length === 0) return { batches, ...counts }
      }
    },
  },
  prune: {
    description: 'forgets what deltas no longer need (BASE_RETENTION), in all pools',
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
    description: 'brings targets in step, one after the other',
    parameters: {
      targets: { type: 'list', isRequired: true, description: 'their names' },
      full: { type: 'boolean', description: 'everything, whatever they hold' },
      pool,
      date,
    },
    async run(context, { parameters }) {
      const { pool = 'default', full = false } = parameters
      const runs: Record<string, unknown>[] = []
      for (const target of parameters['targets'] as string[]) {
        const { id } = await call(context, {
          method: 'POST',
          url: urlOf`/v1/sync?pool=${pool}`,
          payload: { target, full },
        })
        const { kind, failure, detail } = await ended(context, urlOf`/v1/sync/runs/${id}?pool=${pool}`)
        runs.push({ target, kind, failure, detail })
      }
      const behind = runs.filter(({ failure }) => failure !== null)
      if (behind.length > 0) throw new JobFailure(behind.map((run) => `${run['target']}: ${run['detail']}`).join('; '))
      return { targets: runs }
    },
  },
  'verify-states': {
    description: 'computes all states from the users themselves, and compares them with those that are recorded',
    parameters: { pool: { ...pool, description: 'the pool (default: all)' }, date },
    async run({ sql, signal }, { parameters }) {
      const verified = []
      for (const one of await poolsOf(sql, parameters['pool'])) {
        signal.throwIfAborted()
        verified.push(await verifyPool(sql, one))
      }
      const wrong = verified.filter((pool) => pool.wrong.length > 0)
      if (wrong.length > 0)
        throw new JobFailure(`the recorded states are not those of the users: ${JSON.stringify(wrong)}`)
      return { pools: verified.map(({ pool, user_count }) => ({ pool, user_count })) }
    },
  },
}

/** A URL, every value in it percent-encoded: `#` or `&` in one would end it. */
const urlOf = (texts: TemplateStringsArray, ...values: unknown[]) =>
  String.raw({ raw: texts }, ...values.map((value) => encodeURIComponent(String(value))))

type Asked = { method: 'GET' | 'POST'; url: string; payload?: object; headers?: Record<string, string> }

/** Asks the service by its own interface, so that a job is checked as every request is. Throws JobFailure. */
async function call({ app, signal }: JobContext, asked: Asked): Promise<Record<string, unknown>> {
  signal.throwIfAborted()
  let answer = await (await app()).inject(asked)
  // The process may be busy with what the job itself has begun.
  for (let again = 0; answer.statusCode === 503 && again < 60; again++) {
    await sleep(1_000, undefined, { signal }).catch(() => {})
    signal.throwIfAborted()
    answer = await (await app()).inject(asked)
  }
  const json = answer.json<Record<string, unknown>>()
  if (answer.statusCode >= 400) throw new JobFailure(`${json['code']}: ${json['detail']}`)
  return json
}

/** What a batch or a push tells when it is finished; whichever replica does the work. */
async function ended(context: JobContext, url: string): Promise<Record<string, unknown>> {
  for (;;) {
    const told = await call(context, { method: 'GET', url })
    if (told['finished_at'] !== null) return told
    await sleep(250, undefined, { signal: context.signal }).catch(() => {})
  }
}

/** The pools, or the one of this name. Throws JobFailure where there is none. */
async function poolsOf(sql: Sql, name: ParameterValue | undefined): Promise<{ id: number; name: string }[]> {
  const pools = await sql<{ id: number; name: string }[]>`
    select id, name from pools where ${name === undefined ? sql`true` : sql`name = ${String(name)}`} order by id`
  if (pools.length === 0) throw new JobFailure(`there is no pool ${name}`)
  return pools
}
