import { createHash } from 'node:crypto'
import type { Sql } from 'postgres'
import type { ParameterValue } from './parameters.ts'

/** A run: a job with its parameters, as a scheduler started it. */
export interface JobRun {
  id: string
  name: string
  parameters: Record<string, ParameterValue>
  status: 'running' | 'completed' | 'failed'
  attempts: number
  result: Record<string, unknown> | null
  failure: string | null
}

/** Returns the run of this job and these parameters, and creates it if it does not exist. */
export async function findOrMakeRun(
  sql: Sql,
  name: string,
  parameters: Record<string, ParameterValue>,
): Promise<JobRun> {
  const text = JSON.stringify(parameters)
  const digest = createHash('sha256').update(text).digest()
  await sql`
    insert into job_runs (name, parameters, parameters_digest) values (${name}, ${text}, ${digest})
    on conflict do nothing`
  const [run] = await sql<JobRun[]>`
    select id, name, parameters, status, attempts, result, failure from job_runs
    where name = ${name} and parameters_digest = ${digest}`
  return run as JobRun
}

/** Locks the run for the lifetime of this connection, so a process that dies releases it. False if another process has the lock. */
export async function lockRun(connection: Sql, { id }: JobRun): Promise<boolean> {
  const [row] = await connection<{ taken: boolean }[]>`
    select pg_try_advisory_lock(hashtextextended(current_schema() || ' job ' || ${id}::text, 0)) as taken`
  return row?.taken ?? false
}

/** Records that an attempt of the run starts. */
export async function beginRun(sql: Sql, { id }: JobRun): Promise<void> {
  await sql`
    update job_runs set status = 'running', attempts = attempts + 1, started_at = now(), finished_at = null, failure = null
    where id = ${id}`
}

/** Records the result or the failure of the run. */
export async function endRun(
  sql: Sql,
  { id }: JobRun,
  { result, failure }: { result: Record<string, unknown> | null; failure: string | null },
): Promise<void> {
  await sql`
    update job_runs set status = ${failure === null ? 'completed' : 'failed'}, finished_at = now(), failure = ${failure},
      result = ${result && JSON.stringify(result)}
    where id = ${id}`
}
