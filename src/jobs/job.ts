import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { ISql, Sql } from 'postgres'
import { type AuditEvent, recordOwnChange } from '../audit/audit-events.ts'
import type { Config } from '../config/config.ts'
import { isBlocked, isDatabaseUnavailable } from '../database/sqlstate.ts'
import { schemaReader } from '../http/field-errors.ts'
import { PoolQuery } from '../pools/pool-parameter.ts'
import { findPoolId } from '../pools/pools.ts'
import type { JobRun } from './job-runs.ts'
import type { Parameters, ParameterValue } from './parameters.ts'

/** What jobs need. */
export interface JobContext {
  sql: Sql
  databaseUrl: string
  config: Config
  log: FastifyBaseLogger
  /** Ends the job when aborted with a JobFailure. */
  signal: AbortSignal
}

export interface Job {
  description: string
  parameters: Parameters
  /**
   * Runs the job, or continues an interrupted attempt. Returns the result for the report. Throws JobFailure, and errors of the
   * catalogue.
   */
  run(context: JobContext, run: JobRun): Promise<Record<string, unknown>>
}

/** Thrown if a job fails. The message is safe to show. */
export class JobFailure extends Error {
  override name = 'JobFailure'
}

const readPoolQuery = schemaReader(PoolQuery, 'querystring')

/** Returns the pool that a job names, `default` if it names none. Throws `invalid_request` and `pool_not_found`. */
export async function jobPool(sql: Sql, given: ParameterValue | undefined): Promise<{ id: number; name: string }> {
  const { pool: name = 'default' } = readPoolQuery(given === undefined ? {} : { pool: given })
  return { id: await findPoolId(sql, name), name }
}

/** Stores in the audit trail what a job changed. */
export const recordJob = (sql: ISql, job: string, change: Pick<AuditEvent, 'pool' | 'subject' | 'counts'>) =>
  recordOwnChange(sql, { action: `job ${job}`, ...change })

const POLL_MS = 250

/** How long a job waits for a database that is away, while others may be working on its batch or run. */
const PATIENCE_MS = 60_000

/** Reads a batch or a run until it has ended, whichever process works on it, and returns it. */
export async function untilEnded<Read extends { finished_at: string | null }>(
  read: () => Promise<Read>,
  signal: AbortSignal,
): Promise<Read> {
  let lastRead = Date.now()
  for (;;) {
    signal.throwIfAborted()
    try {
      const found = await read()
      if (found.finished_at !== null) return found
      lastRead = Date.now()
    } catch (error) {
      const mayPass = isDatabaseUnavailable(error) || isBlocked(error)
      if (!mayPass || Date.now() - lastRead > PATIENCE_MS) throw error
    }
    await sleep(POLL_MS, undefined, { signal }).catch(() => {})
  }
}
