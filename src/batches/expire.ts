import type { FastifyBaseLogger } from 'fastify'
import type { Sql, TransactionSql } from 'postgres'
import { isBlocked, isDatabaseUnavailable } from '../database/sqlstate.ts'
import { Problem } from '../errors.ts'
import { deleteBatch } from './end-batch.ts'
import { expiredBatches } from './expiry-candidates.ts'

/** Another writer may lock a user for long. Other expired batches do not wait for it. */
const USER_WAIT_MS = 2_000

const BATCHES_A_PAGE = 20

/** The result of removing an expired batch. */
export interface ExpiredBatch {
  batch_id: string
  pool: string
  deleted_count: number
  protected_count: number
}

interface Expiry {
  /** Undefined: all pools. */
  poolId: number | undefined
  /** Maximum number of batches to remove. Default: all. */
  limit?: number
  /** Runs in the transaction that removes the batch. */
  record?: (tx: TransactionSql, expired: ExpiredBatch) => Promise<void>
  signal?: AbortSignal
  log: FastifyBaseLogger
}

/**
 * Removes expired batches, oldest first, one transaction each, and yields each result. Cancels an unfinished batch
 * first. Skips a batch that cannot be removed now until the next call, so that it does not block the others. Two calls
 * at once are harmless: the second finds nothing left. Throws if the database is unavailable.
 */
export async function* expireBatches(
  sql: Sql,
  { poolId, limit = Number.POSITIVE_INFINITY, record, signal, log }: Expiry,
): AsyncGenerator<ExpiredBatch, void, void> {
  let left = limit
  for await (const batch of allExpired(sql, poolId)) {
    if (signal?.aborted || left === 0) return
    const expired = await expire(sql, batch, { record, log })
    if (!expired) continue
    left--
    yield expired
  }
}

type Batch = Awaited<ReturnType<typeof expiredBatches>>[number]

/** Yields every expired batch once, page by page, including those after a page of batches that stay. */
async function* allExpired(sql: Sql, poolId: number | undefined): AsyncGenerator<Batch, void, void> {
  let after: Batch | undefined
  do {
    const page = await expiredBatches(sql, { poolId, after, limit: BATCHES_A_PAGE })
    yield* page
    after = page.length < BATCHES_A_PAGE ? undefined : page.at(-1)
  } while (after)
}

async function expire(
  sql: Sql,
  { pool_id, pool, id }: Batch,
  { record, log }: Pick<Expiry, 'log'> & { record: Expiry['record'] | undefined },
): Promise<ExpiredBatch | undefined> {
  const expired = { batch_id: id, pool, deleted_count: 0, protected_count: 0 }
  try {
    await deleteBatch(sql, pool_id, id, {
      userWaitMs: USER_WAIT_MS,
      async record(tx, removed) {
        expired.deleted_count = removed.deleted
        expired.protected_count = removed.protected
        await record?.(tx, expired)
      },
    })
    return expired
  } catch (error) {
    if (isDatabaseUnavailable(error)) throw error
    // A Problem means that the pool was deleted or became a replica since the batch was read.
    if (!(error instanceof Problem) && !isBlocked(error))
      log.warn({ err: error, batch: id }, 'expired batch not removed')
    return undefined
  }
}
