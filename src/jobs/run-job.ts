import { pino } from 'pino'
import type { ReservedSql, Sql } from 'postgres'
import { ConfigError, readConfig } from '../config/config.ts'
import { connect } from '../database/connection.ts'
import { loggableError } from '../database/loggable-error.ts'
import { prepareDatabase } from '../database/prepare.ts'
import { Problem } from '../errors.ts'
import { databaseProblem } from '../http/error-responses.ts'
import { type Job, JobFailure } from './job.ts'
import { beginRun, endRun, findOrMakeRun, type JobRun, lockRun } from './job-runs.ts'
import { JOBS } from './jobs.ts'
import { JobUsageError, listOf, type ParameterValue, readParameters } from './parameters.ts'

const USAGE = `npm run job -- NAME [--parameter value]...
${Object.entries(JOBS)
  .map(([name, { parameters, description }]) => `  ${name} ${listOf(parameters)}\n      ${description}`)
  .join('\n')}
The settings are the service's own environment variables. Exit codes: 0 completed, now or earlier; 1 failed, and the
same call runs it again; 2 wrong usage or settings; 3 it runs in another process.`

interface JobProgram {
  env: NodeJS.ProcessEnv
  stdout: { write(text: string): unknown }
  stderr: { write(text: string): unknown }
  /** Ends the job when aborted with a JobFailure. */
  stop: AbortSignal
}

/** Runs the program `job` with these arguments. Returns its exit code; USAGE lists them. */
export async function runJob([name = '', ...args]: string[], program: JobProgram): Promise<number> {
  try {
    if (name === '--help' || args.includes('--help')) {
      program.stdout.write(`${USAGE}\n`)
      return 0
    }
    const job = Object.hasOwn(JOBS, name) ? JOBS[name] : undefined
    if (!job) throw new JobUsageError(`there is no job ${name || 'without a name'}: ${Object.keys(JOBS).join(', ')}`)
    return await run({ name, job, parameters: readParameters(job.parameters, args) }, program)
  } catch (error) {
    program.stderr.write(`${error instanceof Error ? error.message : error}\n`)
    return error instanceof JobUsageError || error instanceof ConfigError ? 2 : 1
  }
}

async function run(
  { name, job, parameters }: { name: string; job: Job; parameters: Record<string, ParameterValue> },
  { env, stdout, stderr, stop }: JobProgram,
): Promise<number> {
  const report = (run: JobRun, what: string, exitCode: number) => {
    stdout.write(`${lineOf(run, what)}\n`)
    return exitCode
  }
  const config = readConfig(env)
  const log = pino({ level: 'warn', base: null, serializers: { err: loggableError } }, stderr)
  await using database = await prepareDatabase(config)
  const connections = connect({
    url: database.url,
    schema: config.schema,
    connections: config.databaseConnections + 1, // one for the run
    name: 'usersync job',
    isService: true,
    waitMs: config.waitSeconds * 1000,
  })
  try {
    using connection = await reserveConnection(connections)
    const run = await findOrMakeRun(connection, name, parameters)
    if (!(await lockRun(connection, run))) return report(run, 'runs in another process', 3)
    const present = await findOrMakeRun(connection, name, parameters) // under the lock: another process may have completed it since
    if (present.status === 'completed') return report(present, 'already completed', 0)
    await beginRun(connection, run)
    try {
      const context = { sql: connections, databaseUrl: database.url, config, log, signal: stop }
      const result = await job.run(context, run)
      await endRun(connection, run, { result, failure: null })
      return report({ ...run, result, failure: null }, 'completed', 0)
    } catch (error) {
      const failure = failureOf(error)
      if (!(error instanceof JobFailure || error instanceof Problem)) log.error({ err: error }, 'job failed')
      await endRun(connection, run, { result: null, failure })
      return report({ ...run, failure }, 'failed', 1)
    }
  } finally {
    await connections.end({ timeout: 5 })
  }
}

/** The text for the report: that of a JobFailure, or of an error of the catalogue. */
function failureOf(error: unknown): string {
  if (error instanceof JobFailure) return error.message
  const problem = error instanceof Problem ? error : databaseProblem(error)
  return problem ? `${problem.code}: ${problem.message}` : 'an internal error, which the log has'
}

/** A connection that lives as long as the job: one of the pool would be closed when idle, and its lock be gone. */
async function reserveConnection(connections: Sql): Promise<ReservedSql & Disposable> {
  const connection = await connections.reserve()
  return Object.assign(connection, { [Symbol.dispose]: () => connection.release() })
}

/** One line of JSON for the scheduler's log. */
const lineOf = ({ id, name, parameters, result, failure }: JobRun, what: string) =>
  JSON.stringify({ job: name, what, run: id, parameters, result, failure })
