// Runs one named job, for a scheduler: `npm run job -- expire --date 2026-01-31`. The same job with the same parameters is the
// same run: if it is completed, the command says so; if it was interrupted, it continues. `--help` lists the jobs.

import { pino } from 'pino'
import type { ReservedSql, Sql } from 'postgres'
import { ConfigError, readConfig } from './config/config.ts'
import { connect } from './database/connection.ts'
import { loggableError } from './database/loggable-error.ts'
import { prepareDatabase } from './database/prepare.ts'
import { beginRun, endRun, findOrMakeRun, type JobRun, lockRun } from './jobs/job-runs.ts'
import { JOBS, type Job, JobFailure } from './jobs/jobs.ts'
import { JobUsageError, listOf, type ParameterValue, readParameters } from './jobs/parameters.ts'
import { onStopSignal } from './process/stop-signal.ts'
import type { Service } from './service.ts'

const USAGE = `npm run job -- NAME [--parameter value]...
${Object.entries(JOBS)
  .map(([name, { parameters, description }]) => `  ${name} ${listOf(parameters)}\n      ${description}`)
  .join('\n')}
The settings are the service's own environment variables. Exit codes: 0 completed, now or before; 1 failed, and retried by
the same call; 2 wrong usage or settings; 3 another process runs it.`

const stop = new AbortController()
onStopSignal((signal) => stop.abort(new JobFailure(`ended by ${signal}`)))

try {
  const [name = '', ...args] = process.argv.slice(2)
  if (name === '--help') process.stdout.write(`${USAGE}\n`)
  else {
    const job = JOBS[name]
    if (!job) throw new JobUsageError(`there is no job ${name || 'without a name'}: ${Object.keys(JOBS).join(', ')}`)
    process.exitCode = await runJob(name, job, readParameters(job.parameters, args))
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exitCode = error instanceof JobUsageError || error instanceof ConfigError ? 2 : 1
}
process.exit() // do not wait for open handles

async function runJob(name: string, job: Job, parameters: Record<string, ParameterValue>): Promise<number> {
  // Whoever starts a job already has the database credentials, so the app needs no API key. Nothing listens.
  const config = { ...readConfig(process.env), apiKeys: [], apiKeysFile: '' }
  const log = pino({ level: 'warn', base: null, serializers: { err: loggableError } }, pino.destination(2))
  await using database = await prepareDatabase(config)
  const connections = connect({ url: database.url, schema: config.schema, connections: 2, name: 'usersync job' })
  try {
    using connection = await reserveConnection(connections)
    const run = await findOrMakeRun(connection, name, parameters)
    if (!(await lockRun(connection, run))) return tell(run, 'is run by another process', 3)
    const present = await findOrMakeRun(connection, name, parameters) // read again under the lock
    if (present.status === 'completed') return tell(present, 'was completed before', 0)
    await beginRun(connection, run)
    let service: Service | undefined
    const app = async () => {
      const { startService } = await import('./service.ts') // only the jobs that need the service load it
      service ??= await startService(config, database.url, log)
      return service.app
    }
    try {
      const result = await job.run({ app, sql: connections, config, signal: stop.signal }, run)
      await endRun(connection, run, { result, failure: null })
      return tell({ ...run, result }, 'completed', 0)
    } catch (error) {
      const failure = error instanceof JobFailure ? error.message : 'internal error, see the log'
      if (!(error instanceof JobFailure)) log.error({ err: error }, 'job failed')
      await endRun(connection, run, { result: null, failure })
      return tell({ ...run, failure }, 'failed', 1)
    } finally {
      await service?.stop()
    }
  } finally {
    await connections.end({ timeout: 5 })
  }
}

/** Reserves a connection for the whole job: the pool would close an idle one, and its lock would be lost. */
async function reserveConnection(connections: Sql): Promise<ReservedSql & Disposable> {
  const connection = await connections.reserve()
  return Object.assign(connection, { [Symbol.dispose]: () => connection.release() })
}

/** One line of JSON for the scheduler's log. */
function tell({ id, name, parameters, result, failure }: JobRun, what: string, exitCode: number): number {
  process.stdout.write(`${JSON.stringify({ job: name, what, run: id, parameters, result, failure })}\n`)
  return exitCode
}
