import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Sql } from 'postgres'
import { expireBatches } from './expire.ts'

/** How often a process looks for batches past their `expires_at`. */
const INTERVAL_MS = 10_000

/** Batches that one look removes. */
const BATCHES_A_LOOK = 20

export interface Expiry {
  /** Begins no further batch, and resolves when the one in work is removed. */
  stop(): Promise<void>
}

/** Removes the users of expired batches in all pools, within some ten seconds of their time. */
export function startExpiry(sql: Sql, log: FastifyBaseLogger): Expiry {
  const stopping = new AbortController()
  const { signal } = stopping

  async function run(): Promise<void> {
    while (!signal.aborted) {
      try {
        const expired = await expireBatches(sql, { poolId: undefined, limit: BATCHES_A_LOOK }, signal)
        for (const batch of expired) log.info(batch, 'batch has expired')
      } catch (err) {
        log.warn({ err }, 'expired batches could not be removed; it is tried again')
      }
      await sleep(INTERVAL_MS, undefined, { signal }).catch(() => {})
    }
  }

  const running = run()
  return {
    async stop() {
      stopping.abort()
      await running
    },
  }
}
