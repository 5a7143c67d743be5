import { setTimeout as sleep } from 'node:timers/promises'
import type { Sql } from 'postgres'
import type { Config } from '../config/config.ts'
import type { Service } from '../service.ts'
import { forgetStep, pruneStep } from '../states/prune.ts'
import { verifyPool } from '../states/verify-states.ts'
import { batchKey, missingUsersReason } from './batch-recovery.ts'
import type { JobRun } from './job-runs.ts'
import type { Parameters, ParameterValue } from './parameters.ts'

/** What jobs need. */
export interface JobContext {
  /** The service in this process, which does not listen. Starts on first use. */
  app: () => Promise<Service['app']>
  sql: Sql
  config: Config
  signal: AbortSignal
}

export interface Job {
  description: string
  parameters: Parameters
  /** Runs the job, or continues an interrupted attempt. Returns the result for the report. Throws JobFailure. */
  run(context: JobContext, run: JobRun): Promise<Record<string, unknown>>
}

/** Thrown if a job fails. The message is safe to show. */
export class JobFailure extends Error {
  override name = 'JobFailure'
}

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
      const loss = await missingUsersReason(context.sql, String(pool), String(id))
      if (loss) throw new JobFailure(`the batch ${id} ${loss}: the same call creates another`)
      return batch
    },
  },
  expire: {
    description: 'removes the users of expired batches',
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

/** Builds a URL and percent-encodes every value: a `#` or `&` in one would end it. */
const urlOf = (texts: TemplateStringsArray, ...values: unknown[]) =>
  String.raw({ raw: texts }, ...values.map((value) => encodeURIComponent(String(value))))

type ServiceCall = { method: 'GET' | 'POST'; url: string; payload?: object; headers?: Record<string, string> }

/** Calls the service through its own API, so that a job passes the same checks as any request. Throws JobFailure. */
async function call({ app, signal }: JobContext, serviceCall: ServiceCall): Promise<Record<string, unknown>> {
  signal.throwIfAborted()
  let answer = await (await app()).inject(serviceCall)
  // Retries 503: the process may be busy with the work of this job.
  for (let again = 0; answer.statusCode === 503 && again < 60; again++) {
    await sleep(1_000, undefined, { signal }).catch(() => {})
    signal.throwIfAborted()
    answer = await (await app()).inject(serviceCall)
  }
  const json = answer.json<Record<string, unknown>>()
  if (answer.statusCode >= 400) throw new JobFailure(`${json['code']}: ${json['detail']}`)
  return json
}

/** Polls a batch or push until it has finished, whichever replica works on it, and returns it. */
async function ended(context: JobContext, url: string): Promise<Record<string, unknown>> {
  for (;;) {
    const found = await call(context, { method: 'GET', url })
    if (found['finished_at'] !== null) return found
    await sleep(250, undefined, { signal: context.signal }).catch(() => {})
  }
}

/** Returns all pools, or the one with this name. Throws JobFailure if there is none. */
async function poolsOf(sql: Sql, name: ParameterValue | undefined): Promise<{ id: number; name: string }[]> {
  const pools = await sql<{ id: number; name: string }[]>`
    select id, name from pools where ${name === undefined ? sql`true` : sql`name = ${String(name)}`} order by id`
  if (pools.length === 0) throw new JobFailure(`there is no pool ${name}`)
  return pools
}
