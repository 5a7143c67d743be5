import type { FastifyBaseLogger } from 'fastify'
import type { Sql } from 'postgres'
import { forgetEvents, recordEvent } from '../audit/audit-events.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { type Repeating, startRepeating } from '../repeating.ts'
import { expireBatches } from './expire.ts'

/** How often a process looks for batches past their `expires_at`. */
const INTERVAL_MS = 10_000

/** Batches that one look removes. */
const BATCHES_A_LOOK = 20

const BY_ITSELF = { actor: undefined, action: 'expiry', status: 200, code: undefined, requestId: undefined }

/**
 * Removes the users of expired batches in all pools, within some ten seconds of their time; and forgets audit events of more
 * than `auditRetention` seconds ago.
 */
export function startExpiry(sql: Sql, auditRetention: number, metrics: Metrics, log: FastifyBaseLogger): Repeating {
  return startRepeating(async (signal) => {
    try {
      const expired = expireBatches(sql, { poolId: undefined, limit: BATCHES_A_LOOK }, signal)
      for await (const { batch_id: subject, pool, ...counts } of expired) {
        metrics.batchesExpired(1)
        log.info({ batch: subject, pool, ...counts }, 'batch has expired')
        await recordEvent(sql, { ...BY_ITSELF, pool, subject, counts })
      }
      await forgetEvents(sql, auditRetention)
      metrics.lookedForExpired('done')
    } catch (err) {
      metrics.lookedForExpired('failed')
      log.warn({ err }, 'expired batches could not be removed; it is tried again')
    }
  }, INTERVAL_MS)
}
