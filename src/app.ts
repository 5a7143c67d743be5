import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyBaseLogger, LogController } from 'fastify'
import type { Sql } from 'postgres'
import { auditTrail } from './audit/audit-trail.ts'
import { auditRoutes } from './audit/routes.ts'
import { authentication, authorization, poolAccess } from './auth/authentication.ts'
import { keyRoutes } from './auth/key-routes.ts'
import type { Keyring } from './auth/keyring.ts'
import { ownSite } from './auth/own-site.ts'
import type { Dispatcher } from './batches/dispatcher.ts'
import { lifecycleRoutes } from './batches/expiry-routes.ts'
import { batchProgressRoutes } from './batches/progress-routes.ts'
import { batchRoutes } from './batches/routes.ts'
import { asksForKeys, type Config } from './config/config.ts'
import { addressRoutes } from './export/address-routes.ts'
import type { Exports } from './export/exports.ts'
import { exportRoutes } from './export/routes.ts'
import { stateRoutes } from './export/state-routes.ts'
import { answerBudget } from './http/answer-budget.ts'
import { compilers } from './http/compilers.ts'
import { compression } from './http/compression.ts'
import { cutBodies } from './http/cut-body.ts'
import { answerClientError, answerError, errorResponses } from './http/error-responses.ts'
import { gracefulClose } from './http/graceful-close.ts'
import { healthRoutes } from './http/health.ts'
import { openapi } from './http/openapi/openapi.ts'
import { overload, refuseUnderMemoryPressure } from './http/overload.ts'
import { createCursors } from './http/pagination.ts'
import { bodyDeadline } from './http/request-body.ts'
import { createRequestIds, requestLog } from './http/request-log.ts'
import {
  expectations,
  methodResponses,
  originalMethod,
  ranges,
  requestHead,
  routeUnusedMethods,
} from './http/strict-http.ts'
import { ui } from './http/ui.ts'
import { UPLOAD_TIMEOUT_MS } from './http/upload.ts'
import { validation } from './http/validation.ts'
import { importRoutes } from './import/routes.ts'
import { clientFiles } from './leases/clients/routes.ts'
import { leaseListingRoutes } from './leases/listing-routes.ts'
import type { Leasing } from './leases/request-lease.ts'
import { leaseRoutes } from './leases/routes.ts'
import { simpleTableServer } from './leases/simple-table-server/routes.ts'
import { poolRoutes } from './pools/routes.ts'
import type { MemoryGuard } from './process/memory-guard.ts'
import { replicaRoutes } from './replica/replica-routes.ts'
import type { Standbys } from './standbys/standbys.ts'
import { statsRoutes } from './stats/routes.ts'
import { syncRoutes } from './sync/routes.ts'
import type { SyncScheduler } from './sync/sync-scheduler.ts'
import { targetRoutes } from './sync/target-routes.ts'
import { type Metrics, metricsRoutes } from './telemetry/metrics.ts'
import { requestMetrics } from './telemetry/request-metrics.ts'
import type { Tracing } from './telemetry/tracing.ts'
import { templateExchangeRoutes } from './templates/exchange-routes.ts'
import { previewRoutes } from './templates/preview-routes.ts'
import { templateRoutes } from './templates/routes.ts'
import { templateReader } from './templates/settings.ts'
import { userRoutes } from './users/routes.ts'
import { totpRoutes } from './users/totp-routes.ts'

/** What the routes need. The caller creates and closes these. */
export interface Services {
  /** Undefined: no authentication. */
  keyring: Keyring | undefined
  sql: Sql
  /** For health checks only. */
  probe: Sql
  /** For uploads, which keep a connection while the client sends. */
  uploads: Sql
  dispatcher: Dispatcher
  encryptionKey: Buffer
  exports: Exports
  /** Undefined: no standbys. */
  standbys: Standbys | undefined
  leasing: Leasing
  syncScheduler: SyncScheduler
  log: FastifyBaseLogger
  memory: MemoryGuard
  metrics: Metrics
  /** Undefined: no tracing. */
  tracing: Tracing | undefined
  /** Why the process accepts no work now; empty if it does. */
  reasonsToRefuse: () => string[]
}

/** Builds the HTTP side of the service, with every plugin and route in the order in which requests pass them. Does not listen. */
export async function buildApp(config: Config, services: Services) {
  const app = Fastify({
    loggerInstance: services.log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 1_048_576,
    requestTimeout: UPLOAD_TIMEOUT_MS + 60_000, // see bodyDeadline
    keepAliveTimeout: 72_000,
    // Closes a connection without traffic: a client that stopped reading or is gone. Longer than the statement timeout, so
    // that a client can still receive the result of a slow statement.
    connectionTimeout: 330_000,
    http: {
      requireHostHeader: false, // see requestHead
      connectionsCheckingInterval: 5_000, // enforces headersTimeout (60 s, the default) 5 s late at most, not 30 s
      optimizeEmptyRequests: true, // emits no body events for a request that cannot have a body
    },
    routerOptions: { maxParamLength: 200 },
    rewriteUrl: routeUnusedMethods,
    genReqId: createRequestIds(),
    return503OnClosing: false,
    frameworkErrors: answerError,
    clientErrorHandler: answerClientError,
  }).withTypeProvider<TypeBoxTypeProvider>()

  app.server.maxConnections = config.maxConnections
  await app.register(originalMethod)
  await app.register(gracefulClose)
  await services.tracing?.traceRequests(app)
  await app.register(requestLog)
  await app.register(requestMetrics, services)
  app.addHook('onRequest', (_request, reply, next) => {
    reply.header('x-content-type-options', 'nosniff').header('x-frame-options', 'DENY') // for browsers
    next()
  })
  await app.register(expectations)
  await app.register(ranges)
  await app.register(errorResponses)
  await app.register(requestHead)
  await app.register(ownSite, { withKeys: asksForKeys(config), host: config.host })
  await app.register(bodyDeadline, { milliseconds: 60_000 })
  await app.register(compilers)
  await app.register(validation)
  await app.register(authentication, services)
  await app.register(overload, { maxRequests: config.maxRequests, rateLimit: config.rateLimit })
  await app.register(authorization)
  await app.register(poolAccess)
  await app.register(auditTrail, services)
  await app.register(refuseUnderMemoryPressure, services)
  const unreadBytes = (config.memoryLimitMb * 1_048_576) / 6 // 256 MiB by default
  await app.register(answerBudget, { waitMs: config.waitSeconds * 1000, totalBytes: unreadBytes })
  await app.register(cutBodies)
  await app.register(compression, { threshold: config.compressionThreshold })
  await app.register(openapi)
  await app.register(methodResponses)
  await app.register(ui)

  // Each plugin's options say which of these it uses.
  const parts = { ...services, config, cursors: createCursors(services.encryptionKey) }
  await app.register(healthRoutes, { ...parts, sql: services.probe })
  await app.register(metricsRoutes, parts)
  await app.register(keyRoutes, parts)
  await app.register(poolRoutes, parts)
  await app.register(templateRoutes, parts)
  await app.register(templateExchangeRoutes, parts)
  await app.register(batchRoutes, { ...parts, withTemplate: templateReader(services.sql, config) })
  await app.register(previewRoutes, parts)
  await app.register(batchProgressRoutes, parts)
  await app.register(userRoutes, { ...parts, reservedDomains: config.reservedDomains })
  await app.register(totpRoutes, parts)
  await app.register(statsRoutes, parts)
  await app.register(stateRoutes, parts)
  await app.register(exportRoutes, { ...parts, observer: services.metrics })
  await app.register(addressRoutes, { ...parts, observer: services.metrics })
  await app.register(leaseRoutes, parts)
  await app.register(leaseListingRoutes, { ...parts, scheduler: services.syncScheduler })
  await app.register(simpleTableServer, { ...parts, scheduler: services.syncScheduler })
  await app.register(clientFiles)
  await app.register(importRoutes, parts)
  await app.register(lifecycleRoutes, { ...parts, observer: services.metrics })
  await app.register(auditRoutes, parts)
  await app.register(targetRoutes, { ...parts, targetHosts: config.targetHosts })
  await app.register(syncRoutes, { ...parts, scheduler: services.syncScheduler })
  await app.register(replicaRoutes, parts)

  app.refuseOtherMethods()
  return app
}
