import { join } from 'node:path'
import type { FastifyBaseLogger } from 'fastify'
import type { Sql } from 'postgres'
import { buildApp } from './app.ts'
import { openKeyring } from './auth/keyring.ts'
import { type ChunkObserver, startDispatcher } from './batches/dispatcher.ts'
import { startExpiry } from './batches/expiry.ts'
import { startWorkerPool, type WorkerPool } from './batches/worker-pool.ts'
import { asksForKeys, type Config } from './config/config.ts'
import { connect } from './database/connection.ts'
import { checkConnectionBudget } from './database/prepare.ts'
import { createExportCache } from './export/cache/export-cache.ts'
import { createExports } from './export/exports.ts'
import { UPLOAD_PLACES } from './http/upload.ts'
import { createCounts } from './leases/counts.ts'
import { connectForLeases, LEASE_CONNECTIONS } from './leases/leasing-connections.ts'
import { createLines } from './leases/lines.ts'
import { startLeaseUpkeep } from './leases/upkeep.ts'
import { type MemoryGuard, startMemoryGuard } from './process/memory-guard.ts'
import { drain } from './process/shutdown.ts'
import { openEncryptionKey } from './secrets/encryption.ts'
import { openStandbys, type STANDBY_PACE } from './standbys/standbys.ts'
import { startRetention } from './states/retention.ts'
import { type RunObserver, type SYNC_PACE, startSyncScheduler } from './sync/sync-scheduler.ts'
import { addGauges } from './telemetry/gauges.ts'
import { createMetrics, type Metrics } from './telemetry/metrics.ts'
import { createStandbyMetrics } from './telemetry/standby-metrics.ts'
import type { Tracing } from './telemetry/tracing.ts'

/** Imports and pushes to replicas. */
const UPLOAD_CONNECTIONS = 2 * UPLOAD_PLACES

/** Connections besides those of requests and workers: uploads, leases, one for health checks, one for LISTEN. */
const OTHER_CONNECTIONS = UPLOAD_CONNECTIONS + LEASE_CONNECTIONS + 2

/** The whole service on a migrated database, ready to listen. */
export interface Service {
  app: Awaited<ReturnType<typeof buildApp>>
  sql: Sql
  workers: WorkerPool
  memory: MemoryGuard
  /** Starts no new work, waits for the work in progress as long as the settings allow, and releases everything. */
  stop(): Promise<void>
}

/** Intervals and timeouts that no setting changes. Tests shorten them. */
export interface Pace {
  lockTimeoutMs?: number
  /** How often the service looks for expired batches. */
  expiryMs?: number
  workerIdleTimeoutMs?: number
  silenceMs?: number
  /** For how many times as long as it took a slow count of leased users is used again. */
  leaseCountsRest?: number
  sync?: typeof SYNC_PACE
  standbys?: typeof STANDBY_PACE
}

/** Starts the parts of the service in the order in which they depend on one another. Throws where one cannot. */
export async function startService(
  config: Config,
  databaseUrl: string,
  log: FastifyBaseLogger,
  pace: Pace = {},
): Promise<Service> {
  const { schema, databaseConnections: connections, maxWorkers } = config
  // Releases what was started, in reverse order, if a later step throws. After the last step `stop` takes over.
  await using started = new AsyncDisposableStack()
  const keyring = asksForKeys(config)
    ? await openKeyring({ configured: config.apiKeys, file: config.apiKeysFile }, log)
    : undefined
  started.defer(() => keyring?.stop())
  const waitMs = config.waitSeconds * 1000
  const { lockTimeoutMs, workerIdleTimeoutMs: idleTimeoutMs, silenceMs } = pace
  const requests = { url: databaseUrl, schema, isService: true, waitMs, lockTimeoutMs, silenceMs }
  const sql = connect({ ...requests, connections, name: 'usersync' })
  started.defer(() => sql.end({ timeout: 5 }))
  // Health checks have their own connection, so requests that wait for one do not make the database look down. Uploads have
  // their own too, so requests do not wait for slow clients.
  const probe = connect({ url: databaseUrl, schema, connections: 1, name: 'usersync health', silenceMs })
  started.defer(() => probe.end({ timeout: 5 }))
  const uploads = connect({ ...requests, connections: UPLOAD_CONNECTIONS, name: 'usersync uploads' })
  started.defer(() => uploads.end({ timeout: 5 }))
  const leaseSql = connectForLeases({ url: databaseUrl, schema, waitMs })
  started.defer(() => leaseSql.end({ timeout: 5 }))
  await checkConnectionBudget(
    sql,
    connections + maxWorkers + OTHER_CONNECTIONS,
    `DATABASE_CONNECTIONS + MAX_WORKERS + ${OTHER_CONNECTIONS}`,
  )
  const encryptionKey = await openEncryptionKey(sql, config)
  const metrics = createMetrics()
  const tracing = await openTracing(config, log)
  started.defer(() => tracing?.stop())
  const memoryLimitBytes = config.memoryLimitMb * 1_048_576
  const workers = startWorkerPool(maxWorkers, {
    ...{ databaseUrl, schema, encryptionKey },
    ...{ idleTimeoutMs, silenceMs },
  })
  started.defer(() => workers.close())
  const memory = startMemoryGuard(memoryLimitBytes, () => workers.inWork() > 0, log)
  started.defer(() => memory.stop())
  const observer = observe(metrics, tracing)
  const dispatcher = await startDispatcher({ sql, workers, memory, observer, log })
  started.defer(() => dispatcher.drain())
  const reasonsToRefuse = () => (dispatcher.draining() ? ['draining'] : [])
  const retention = startRetention(sql, config.baseRetention, log)
  started.defer(() => retention.stop())
  const expiry = startExpiry(sql, config.auditRetention, metrics, log, pace.expiryMs)
  started.defer(() => expiry.stop())
  const exportCache = await openExportCache(config, log)
  started.defer(() => exportCache?.close())
  const standbys = await openStandbysOf(config, { sql, metrics, log, pace })
  started.defer(() => standbys?.close())
  const exports = createExports({
    sql,
    standbys,
    encryptionKey,
    concurrency: config.exportConcurrency,
    waitMs,
    cache: exportCache,
  })
  const syncScheduler = startSyncScheduler(
    { sql, exports, encryptionKey, targetHosts: config.targetHosts, observer },
    log,
    pace.sync,
  )
  started.defer(() => syncScheduler.stop())
  const lines = createLines(leaseSql, metrics)
  started.defer(() => lines.close())
  const leasing = {
    sql: leaseSql,
    lines,
    counts: createCounts(leaseSql, pace.leaseCountsRest),
    encryptionKey,
    observer: metrics,
  }
  const leaseUpkeep = startLeaseUpkeep({ ...leasing, retention: config.auditRetention, log })
  started.defer(() => leaseUpkeep.stop())
  addGauges(metrics.registry, { sql, workers, memory, exports, leasing, dataDir: config.dataDir, memoryLimitBytes })
  const app = await buildApp(config, {
    ...{ keyring, sql, probe, uploads, dispatcher, encryptionKey, exports, leasing, syncScheduler },
    ...{ standbys, log, memory, metrics, tracing, reasonsToRefuse },
  })

  const stop = async () => {
    const delayMs = config.drainDelaySeconds * 1000
    await drain(log, [
      {
        step: 'requests, chunks and pushes in progress',
        milliseconds: 2 * delayMs + config.drainSeconds * 1000,
        run: () =>
          Promise.all([
            dispatcher.drain(),
            retention.stop(),
            expiry.stop(),
            syncScheduler.stop(),
            leaseUpkeep.stop(),
            lines.close(),
            app.gracefulClose(delayMs),
          ]),
      },
      { step: 'traces', milliseconds: 2_000, run: async () => tracing?.stop() },
      { step: 'export cache', milliseconds: 2_000, run: async () => exportCache?.close() },
      { step: 'worker threads', milliseconds: 6_000, run: () => workers.close() },
      {
        step: 'database connections',
        milliseconds: 6_000,
        run: () =>
          Promise.all([standbys?.close(), ...[sql, probe, uploads, leaseSql].map((each) => each.end({ timeout: 5 }))]),
      },
    ])
    memory.stop()
    keyring?.stop()
  }
  started.move()
  return { app, sql, workers, memory, stop }
}

/** Metrics and traces of background work. */
const observe = (metrics: Metrics, tracing: Tracing | undefined): ChunkObserver & RunObserver => ({
  chunkEnded(batchId, outcome, begun) {
    metrics.chunkEnded(outcome, (performance.now() - begun) / 1000)
    tracing?.chunkEnded(batchId, outcome, begun)
  },
  syncRunEnded: metrics.syncRunEnded,
  push: (run, target, push) => (tracing ? tracing.push(run, target, push) : push()),
})

/** Loads the OpenTelemetry packages, about 25 MiB of memory, only if tracing is configured. */
async function openTracing({ otlpEndpoint }: Config, log: FastifyBaseLogger) {
  if (otlpEndpoint === '') return undefined
  const { startTracing } = await import('./telemetry/tracing.ts').catch(explainMissing)
  return startTracing(otlpEndpoint, log)
}

/** Undefined without READ_DATABASE_URL. */
async function openStandbysOf(
  { readDatabaseUrls: urls, schema, exportConcurrency: snapshots }: Config,
  { sql, metrics, log, pace }: { sql: Sql; metrics: Metrics; log: FastifyBaseLogger; pace: Pace },
) {
  if (urls.length === 0) return undefined
  const observer = createStandbyMetrics(metrics.registry)
  const { silenceMs } = pace
  const standbys = await openStandbys({ sql, urls, schema, snapshots, silenceMs, observer, log, pace: pace.standbys })
  observer.watch(standbys)
  return standbys
}

/** npm leaves optional packages out if the Node that runs npm is too old for them, also if the one that runs the server is not. */
function explainMissing(cause: NodeJS.ErrnoException): never {
  if (cause.code !== 'ERR_MODULE_NOT_FOUND') throw cause
  throw new Error(
    'OTEL_EXPORTER_OTLP_ENDPOINT is set, but npm has not installed the packages of @opentelemetry: install usersync with Node 22.15 or later, without --omit=optional',
    { cause },
  )
}

async function openExportCache({ dataDir, exportCacheMb }: Config, log: FastifyBaseLogger) {
  if (exportCacheMb === 0) return undefined
  return await createExportCache({ folder: join(dataDir, 'exports'), limitBytes: exportCacheMb * 1_048_576, log })
}
