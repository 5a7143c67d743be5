import { setFlagsFromString } from 'node:v8'
import closeWithGrace from 'close-with-grace'
import { asksForKeys, type Config, ConfigError, configWarnings, readConfig, shownSettings } from './config/config.ts'
import { describeAddress, parseDatabaseUrl } from './database/database-url.ts'
import { loggableError } from './database/loggable-error.ts'
import { type PreparedDatabase, prepareDatabase } from './database/prepare.ts'
import { createLog } from './process/log.ts'
import { drain, onStopSignal, STOP_CODES, type StopSignal } from './process/shutdown.ts'
import { type Service, startService } from './service.ts'

// V8's own default since its commit 6a5039d9db, which Node 24 does not include yet. Without it, every 32 MB of allocated and freed
// buffers trigger a full heap collection: a dozen times in an export of 300,000 users, for half of its CPU time.
setFlagsFromString('--external-memory-accounted-in-global-limit')

// The heap, buffers included, may grow to 2.5 times what the last full collection left. V8's own factor is smaller after a collection
// that releases memory (see the memory guard): an export of 400,000 users then took 1.9 s of CPU time instead of 1.1, for
// 30 MiB less.
setFlagsFromString('--heap-growing-percent=150')

// `npm start` and the image also set `--min-semi-space-size=4`, which V8 reads before any script. Its default of 1 MiB moves short-lived
// objects of requests to the old generation: with 50 clients that ask for a 304, three full collections in 12 s instead of one.
// 8 MiB make no difference to requests, and 40 MiB to the peak of a full export.

/** Reads the settings, starts database and service, and opens the port last, so that every accepted connection is served. */
async function start() {
  const config = readConfig(process.env)
  const log = await createLog(config, loggableError)
  log.info(shownSettings(config), 'settings')
  for (const warning of configWarnings(process.env, config)) log.warn(warning)

  let database: PreparedDatabase | undefined
  let service: Service | undefined
  const release = async () => {
    await service?.stop()
    await drain(log, [
      { step: 'embedded database', milliseconds: 50_000, run: async () => database?.[Symbol.asyncDispose]() },
    ])
  }
  const skip = Object.keys(STOP_CODES) as StopSignal[] // a second one ends the process at once
  const { close } = closeWithGrace({ delay: false, logger: log, skip }, async ({ signal, err }) => {
    if (err) log.fatal({ err }, 'stopping after an internal error')
    else if (signal) log.info(`${signal} received, shutting down`)
    await release()
    if (err) process.exit(1)
  })
  onStopSignal((signal) => {
    log.info(`${signal} received, shutting down`)
    close()
  })

  try {
    database = await prepareDatabase(config)
    service = await startService(config, database.url, log)
    service.memory.trimWhileIdle()
    await listen(service, config, database)
  } catch (error) {
    await release()
    throw error
  }
}

async function listen({ app }: Service, config: Config, { embeddedIn, url }: PreparedDatabase): Promise<void> {
  const { host, port, listenBacklog: backlog, maxWorkers } = config
  const where = embeddedIn
    ? `embedded PostgreSQL in ${embeddedIn}`
    : `PostgreSQL at ${describeAddress(parseDatabaseUrl(url))}`
  const open = asksForKeys(config) ? '' : '; no API key is set, so every program on this machine has access'
  const listenTextResolver = (address: string) =>
    `usersync listens on ${address}, ${where}, ${maxWorkers} workers${open}; operator’s page: ${address}/ui/`
  try {
    await app.listen({ host, port, backlog, listenTextResolver })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new Error(`port ${port} of ${host} is in use: end the program that listens there, or set PORT`, {
      cause: error,
    })
  }
}

/** Describes an error and its causes. */
function describeFault(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const messages = error instanceof AggregateError ? error.errors.map(describeFault).join('; ') : error.message
  const includesCause = error.cause === undefined || error.message.includes((error.cause as Error).message ?? '')
  return `${error.name}: ${messages}${includesCause ? '' : ` (${describeFault(error.cause)})`}`
}

try {
  await start()
} catch (error) {
  const text = error instanceof ConfigError ? `\n${error.message}` : ` ${describeFault(error)}`
  process.stderr.write(`usersync cannot start:${text}\n`)
  process.exit(1)
}
