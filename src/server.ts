import closeWithGrace from 'close-with-grace'
import { drizzle } from 'drizzle-orm/postgres-js'
import { buildApp } from './app.ts'
import { startDispatcher } from './batches/dispatcher.ts'
import { ConfigError, readConfig, shownSettings } from './config.ts'
import { connect } from './database/connection.ts'
import { startEmbeddedDatabase } from './database/embedded.ts'
import { migrate } from './database/migrate.ts'
import { drain } from './drain.ts'
import { createLog } from './log.ts'
import { loadEncryptionKey } from './passwords/encryption.ts'
import { startWorkerPool } from './worker-pool/worker-pool.ts'

/** Starts everything in the order in which it depends on one another, and leaves behind how to stop it. */
async function start() {
  const config = readConfig(process.env)
  const log = createLog(config.logLevel)

  const embedded = config.databaseUrl === '' ? await startEmbeddedDatabase({ dataDir: config.dataDir }) : undefined
  const databaseUrl = embedded?.url ?? config.databaseUrl
  const encryptionKey = await loadEncryptionKey(config.encryptionKey, config.dataDir)
  await migrate(databaseUrl, config.schema)

  const sql = connect({
    url: databaseUrl,
    schema: config.schema,
    connections: config.databaseConnections,
    name: 'usersync',
  })
  const workers = startWorkerPool(config.maxWorkers, { databaseUrl, schema: config.schema, encryptionKey })
  const dispatcher = await startDispatcher(sql, workers, log)

  let draining = false
  const reasonsToRefuse = () => (draining ? ['draining'] : [])
  const app = await buildApp(config, { sql, orm: drizzle(sql), dispatcher, encryptionKey, log, reasonsToRefuse })
  closeWithGrace({ delay: false, logger: log }, async ({ signal, err }) => {
    draining = true
    if (err) log.fatal({ err }, 'stopping after a fault')
    else log.info(`${signal} received: no new work from now on`)
    const milliseconds = config.drainSeconds * 1000
    await drain(log, [
      { step: 'requests and chunks in work', milliseconds, run: () => Promise.all([app.close(), dispatcher.drain()]) },
      { step: 'worker threads', milliseconds: 2_000, run: () => workers.close() },
      { step: 'database connections', milliseconds: 6_000, run: () => sql.end({ timeout: 5 }) },
      { step: 'embedded database', milliseconds: 30_000, run: async () => embedded?.stop() },
    ])
    if (err) process.exit(1)
  })

  const { host, pathname } = new URL(databaseUrl)
  const where = embedded ? `embedded PostgreSQL in ${embedded.directory}` : `PostgreSQL at ${host}${pathname}`
  const open = config.apiKeys.length === 0 ? '; no key is set, so it can be used from this machine only' : ''
  log.info(shownSettings(config), 'settings')
  await app.listen({
    host: config.host,
    port: config.port,
    listenTextResolver: (address) => `usersync listens on ${address}, ${where}, ${config.maxWorkers} workers${open}`,
  })
}

try {
  await start()
} catch (error) {
  const text =
    error instanceof ConfigError ? `usersync cannot start:\n${error.message}` : `usersync cannot start: ${error}`
  process.stderr.write(`${text}\n`)
  process.exit(1)
}
