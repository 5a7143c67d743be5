import type { FastifyBaseLogger } from 'fastify'
import type { Sql } from 'postgres'
import { forgetEvents, recordEvent } from '../audit/audit-events.ts'
import { type Repeating, startRepeating } from '../process/repeat.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { expireBatches } from './expire.ts'
import { sweepCredentials } from './unused-credentials.ts'

/** How often a process looks for batches past their `expires_at`. */
const INTERVAL_MS = 10_000

const BY_ITSELF = { actor: undefined, action: 'expiry', status: 200, code: undefined, requestId: undefined }

/**
 * Removes what is past its time, in all pools: expired batches, credentials whose users are gone, and audit events older than
 * `auditRetention` seconds. A batch and its audit event go in one transaction: no removal without its event.
 */
export function startExpiry(
  sql: Sql,
  auditRetention: number,
  metrics: Metrics,
  log: FastifyBaseLogger,
  intervalMs = INTERVAL_MS,
): Repeating {
  return startRepeating(async (signal) => {
    try {
      const expired = expireBatches(sql, {
        poolId: undefined,
        record: (tx, { batch_id: subject, pool, ...counts }) =>
          recordEvent(tx, { ...BY_ITSELF, pool, subject, counts }),
        signal,
        log,
      })
      for await (const { batch_id: batch, pool, ...counts } of expired) {
        metrics.batchesExpired(1)
        log.info({ batch, pool, ...counts }, 'batch has expired')
      }
      await sweepCredentials(sql, signal)
      await forgetEvents(sql, auditRetention)
      metrics.lookedForExpired('done')
    } catch (err) {
      metrics.lookedForExpired('failed')
      log.warn({ err }, 'expiry failed, retrying')
    }
  }, intervalMs)
}
