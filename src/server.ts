import closeWithGrace from 'close-with-grace'
import { asksForKeys, ConfigError, readConfig, shownSettings } from './config.ts'
import { type EmbeddedDatabase, startEmbeddedDatabase } from './database/embedded.ts'
import { migrate } from './database/migrate.ts'
import { drain } from './drain.ts'
import { createLog } from './log.ts'
import { type Service, startService } from './service.ts'

/** Settings, signals, database, service, and last of all the port: who can connect is served. */
async function start() {
  const config = readConfig(process.env)
  const log = createLog(config.logLevel)
  log.info(shownSettings(config), 'settings')

  let embedded: EmbeddedDatabase | undefined
  let service: Service | undefined
  closeWithGrace({ delay: false, logger: log }, async ({ signal, err }) => {
    if (err) log.fatal({ err }, 'stopping after a fault')
    else log.info(`${signal} received: no new work from now on`)
    await service?.stop()
    await drain(log, [{ step: 'embedded database', milliseconds: 50_000, run: async () => embedded?.stop() }])
    if (err) process.exit(1)
  })

  if (config.databaseUrl === '') embedded = await startEmbeddedDatabase({ dataDir: config.dataDir })
  const databaseUrl = embedded?.url ?? config.databaseUrl
  await migrate(databaseUrl, config.schema)
  service = await startService(config, databaseUrl, log)

  const { host, pathname } = new URL(databaseUrl)
  const where = embedded ? `embedded PostgreSQL in ${embedded.directory}` : `PostgreSQL at ${host}${pathname}`
  const open = asksForKeys(config) ? '' : '; no key is set, so it can be used from this machine only'
  await service.app.listen({
    host: config.host,
    port: config.port,
    backlog: 4_096, // connections that came while the process was busy; the kernel may allow less (somaxconn)
    listenTextResolver: (address) => `usersync listens on ${address}, ${where}, ${config.maxWorkers} workers${open}`,
  })
}

try {
  await start()
} catch (error) {
  const text = error instanceof ConfigError ? `\n${error.message}` : ` ${error}`
  process.stderr.write(`usersync cannot start:${text}\n`)
  process.exit(1)
}
