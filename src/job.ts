// Runs one named job, for a scheduler: `npm run job -- expire --date 2026-01-31`. The same job with the same parameters is the
// same run: where it is completed that is told, and where it was cut off it goes on. `--help` lists the jobs.

import { pino } from 'pino'
import type { ReservedSql, Sql } from 'postgres'
import { ConfigError, readConfig } from './config/config.ts'
import { connect } from './database/connection.ts'
import { prepareDatabase } from './database/prepare.ts'
import { beginRun, endRun, findOrMakeRun, type JobRun, lockRun } from './jobs/job-runs.ts'
import { JOBS, type Job, JobFailure } from './jobs/jobs.ts'
import { JobUsageError, listOf, type ParameterValue, readParameters } from './jobs/parameters.ts'
import { loggableError } from './process/log.ts'
import { onStopSignal } from './process/stop-signal.ts'
import type { Service } from './service.ts'

const USAGE = `npm run job -- NAME [--parameter value]...
${Object.entries(JOBS)
  .map(([name, { parameters, description }]) => `  ${name} ${listOf(parameters)}\n      ${description}`)
  .join('\n')}
The settings are the service's own environment variables. Exit codes: 0 completed, now or before; 1 failed, and begun again by
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
process.exit() // a finished job never waits for a handle that something left open

async function runJob(name: string, job: Job, parameters: Record<string, ParameterValue>): Promise<number> {
  // Whoever may start it has the database: no key is asked for, and nothing listens.
  const config = { ...readConfig(process.env), apiKeys: [], apiKeysFile: '' }
  const log = pino({ level: 'warn', base: null, serializers: { err: loggableError } }, pino.destination(2))
  await using database = await prepareDatabase(config)
  const connections = connect({ url: database.url, schema: config.schema, connections: 2, name: 'usersync job' })
  try {
    using connection = await reserveConnection(connections)
    const run = await findOrMakeRun(connection, name, parameters)
    if (!(await lockRun(connection, run))) return tell(run, 'is run by another process', 3)
    const present = await findOrMakeRun(connection, name, parameters) // as it is now that nobody else changes it
    if (present.status === 'completed') return tell(present, 'was completed before', 0)
    await beginRun(connection, run)
    let service: Service | undefined
    const app = async () => {
      const { startService } = await import('./service.ts') // loaded by those jobs alone that ask the service
      service ??= await startService(config, database.url, log)
      return service.app
    }
    try {
      const result = await job.run({ app, sql: connections, config, signal: stop.signal }, run)
      await endRun(connection, run, { result, failure: null })
      return tell({ ...run, result }, 'completed', 0)
    } catch (error) {
      const failure = error instanceof JobFailure ? error.message : 'a fault of the service, which its log tells'
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

/** A connection that lives as long as the job: one of the pool would be closed when idle, and its lock be gone. */
async function reserveConnection(connections: Sql): Promise<ReservedSql & Disposable> {
  const connection = await connections.reserve()
  return Object.assign(connection, { [Symbol.dispose]: () => connection.release() })
}

/** One line of JSON for the scheduler's log. */
function tell({ id, name, parameters, result, failure }: JobRun, what: string, exitCode: number): number {
  process.stdout.write(`${JSON.stringify({ job: name, what, run: id, parameters, result, failure })}\n`)
  return exitCode
}
