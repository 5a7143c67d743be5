import type { FastifyBaseLogger } from 'fastify'
import type { Sql } from 'postgres'
import { forgetEvents, recordOwnChange } from '../audit/audit-events.ts'
import { type Repeating, repeatEvery } from '../process/repeat.ts'
import { expireBatches } from './expire.ts'
import { sweepCredentials } from './unused-credentials.ts'

/** Receives the results of expiry. */
export interface ExpiryObserver {
  batchesExpired(count: number): void
  lookedForExpired(outcome: 'done' | 'failed'): void
}

/** How often a process looks for batches past their `expires_at`. */
const INTERVAL_MS = 10_000

/**
 * Removes expired data in all pools: expired batches, credentials without users, and audit events older than
 * `auditRetention` seconds. A batch and its audit event share one transaction, so no removal lacks its event.
 */
export function startExpiry(
  sql: Sql,
  auditRetention: number,
  observer: ExpiryObserver,
  log: FastifyBaseLogger,
  intervalMs = INTERVAL_MS,
): Repeating {
  return repeatEvery(async (signal) => {
    try {
      const expired = expireBatches(sql, {
        poolId: undefined,
        record: (tx, { batch_id: subject, pool, ...counts }) =>
          recordOwnChange(tx, { action: 'expiry', pool, subject, counts }),
        signal,
        log,
      })
      for await (const { batch_id: batch, pool, ...counts } of expired) {
        observer.batchesExpired(1)
        log.info({ batch, pool, ...counts }, 'batch expired')
      }
      await sweepCredentials(sql, signal)
      await forgetEvents(sql, auditRetention)
      observer.lookedForExpired('done')
    } catch (err) {
      observer.lookedForExpired('failed')
      log.warn({ err }, 'expiry failed, retrying')
    }
  }, intervalMs)
}
