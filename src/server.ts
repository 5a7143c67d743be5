import { setFlagsFromString } from 'node:v8'
import closeWithGrace from 'close-with-grace'
import { asksForKeys, ConfigError, configWarnings, readConfig, shownSettings } from './config/config.ts'
import { describeAddress, parseDatabaseUrl } from './database/database-url.ts'
import { DrizzleQueryError } from './database/drizzle.ts'
import { type PreparedDatabase, prepareDatabase } from './database/prepare.ts'
import { drain } from './process/drain.ts'
import { createLog } from './process/log.ts'
import { onStopSignal, STOP_CODES, type StopSignal } from './process/stop-signal.ts'
import { type Service, startService } from './service.ts'

// V8's own default since its commit 6a5039d9db, which Node 24 does not have yet. Without it each 32 MB of buffers that come and go
// have V8 collect the whole heap: a dozen times in an export of 300,000 users, for half of the processor time that it took here.
setFlagsFromString('--external-memory-accounted-in-global-limit')

/** Settings, signals, database, service, and last of all the port: who can connect is served. */
async function start() {
  const config = readConfig(process.env)
  const log = createLog(config.logLevel)
  log.info(shownSettings(config), 'settings')
  for (const warning of configWarnings(process.env, config)) log.warn(warning)

  let database: PreparedDatabase | undefined
  let service: Service | undefined
  const skip = Object.keys(STOP_CODES) as StopSignal[] // which end the process at once if they come twice
  const { close } = closeWithGrace({ delay: false, logger: log, skip }, async ({ signal, err }) => {
    if (err) log.fatal({ err }, 'stopping after a fault')
    else if (signal) log.info(`${signal} received: no new work from now on`)
    await service?.stop()
    await drain(log, [
      { step: 'embedded database', milliseconds: 50_000, run: async () => database?.[Symbol.asyncDispose]() },
    ])
    if (err) process.exit(1)
  })
  onStopSignal((signal) => {
    log.info(`${signal} received: no new work from now on`)
    close()
  })

  database = await prepareDatabase(config)
  service = await startService(config, database.url, log)

  const { embeddedIn, url } = database
  const where = embeddedIn
    ? `embedded PostgreSQL in ${embeddedIn}`
    : `PostgreSQL at ${describeAddress(parseDatabaseUrl(url))}`
  const open = asksForKeys(config) ? '' : '; no key is set, so it is open to everybody on this machine'
  await service.app.listen({
    host: config.host,
    port: config.port,
    backlog: config.listenBacklog,
    listenTextResolver: (address) => `usersync listens on ${address}, ${where}, ${config.maxWorkers} workers${open}`,
  })
}

/** What is wrong, with the causes of an error that wraps another. drizzle's wrapper has the statement for a message. */
function describeFault(error: unknown): string {
  if (error instanceof DrizzleQueryError) return describeFault(error.cause)
  if (!(error instanceof Error)) return String(error)
  const messages = error instanceof AggregateError ? error.errors.map(describeFault).join('; ') : error.message
  const isTold = error.cause === undefined || error.message.includes((error.cause as Error).message ?? '')
  return `${error.name}: ${messages}${isTold ? '' : ` (${describeFault(error.cause)})`}`
}

try {
  await start()
} catch (error) {
  const text = error instanceof ConfigError ? `\n${error.message}` : ` ${describeFault(error)}`
  process.stderr.write(`usersync cannot start:${text}\n`)
  process.exit(1)
}
