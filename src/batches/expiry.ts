import type { FastifyBaseLogger } from 'fastify'
import type { Fragment, ISql, Sql, TransactionSql } from 'postgres'
import { forgetEvents, recordOwnChange } from '../audit/audit-events.ts'
import { attemptEach } from '../database/attempt-each.ts'
import { isBlocked, isDatabaseUnavailable } from '../database/sqlstate.ts'
import { Problem } from '../errors.ts'
import { type Repeating, repeatEvery } from '../process/repeat.ts'
import { deleteBatch, type Removed } from './end-batch.ts'
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
 * `auditRetention` seconds. A batch and its audit event share one transaction, so no removal lacks its event. If one
 * of the three fails, the others still run.
 */
export function startExpiry(
  sql: Sql,
  auditRetention: number,
  observer: ExpiryObserver,
  log: FastifyBaseLogger,
  intervalMs = INTERVAL_MS,
): Repeating {
  async function removeBatches(signal: AbortSignal): Promise<void> {
    const expired = expireBatches(sql, {
      poolId: undefined,
      isRepeated: true,
      record: (tx, { batch_id: subject, pool, ...counts }) =>
        recordOwnChange(tx, { action: 'expiry', pool, subject, counts }),
      signal,
      log,
    })
    for await (const { batch_id: batch, pool, ...counts } of expired) {
      observer.batchesExpired(1)
      log.info({ batch, pool, ...counts }, 'batch expired')
    }
  }

  return repeatEvery(async (signal) => {
    const steps = [
      () => removeBatches(signal),
      () => sweepCredentials(sql, signal),
      () => forgetEvents(sql, auditRetention),
    ]
    try {
      await attemptEach(steps, (step) => step())
      observer.lookedForExpired('done')
    } catch (err) {
      observer.lookedForExpired('failed')
      log.warn({ err }, 'expiry failed, retrying')
    }
  }, intervalMs)
}

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
  /** The next call comes soon: this one does not wait for a batch that another call removes. */
  isRepeated?: boolean
  /** Runs in the transaction that removes the batch. */
  record?: (tx: TransactionSql, expired: ExpiredBatch) => Promise<void>
  /** Called with the id of each batch that could not be removed. */
  onSkip?: (batchId: string) => void
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
  { poolId, limit = Number.POSITIVE_INFINITY, isRepeated = false, record, onSkip, signal, log }: Expiry,
): AsyncGenerator<ExpiredBatch, void, void> {
  let left = limit
  for await (const batch of allExpired(sql, poolId)) {
    if (signal?.aborted || left === 0) return
    if (isRepeated && (await isBeingEnded(sql, batch))) continue
    const expired = await expire(sql, batch, { record, onSkip, log })
    if (!expired) continue
    left--
    yield expired
  }
}

/** Yields every expired batch once, page by page, including those after a page of batches that stay. */
async function* allExpired(sql: Sql, poolId: number | undefined): AsyncGenerator<DueBatch, void, void> {
  let after: DueBatch | undefined
  do {
    const page = await readDue(sql, { poolId, after, limit: BATCHES_A_PAGE })
    yield* page
    after = page.length < BATCHES_A_PAGE ? undefined : page.at(-1)
  } while (after)
}

async function expire(
  sql: Sql,
  { pool_id, pool, id }: DueBatch,
  { record, onSkip, log }: Pick<Expiry, 'log'> & { [Name in 'record' | 'onSkip']: Expiry[Name] | undefined },
): Promise<ExpiredBatch | undefined> {
  const expiredBy = (removed: Removed) => ({
    ...{ batch_id: id, pool },
    ...{ deleted_count: removed.deleted, protected_count: removed.protected },
  })
  try {
    const removed = await deleteBatch(sql, pool_id, id, {
      userWaitMs: USER_WAIT_MS,
      async record(tx, removed) {
        // Another call may have removed the batch since this one has read it.
        if (removed.isFirst) await record?.(tx, expiredBy(removed))
      },
    })
    return removed.isFirst ? expiredBy(removed) : undefined
  } catch (error) {
    if (isDatabaseUnavailable(error)) throw error
    // A Problem means that the pool was deleted or became a replica since the batch was read.
    if (!(error instanceof Problem) && !isBlocked(error))
      log.warn({ err: error, batch: id }, 'expired batch not removed')
    onSkip?.(id)
    return undefined
  }
}

/**
 * Whether another call ends or removes the batch, such as the expiry of another replica. It takes a minute for a million users,
 * and other expired batches would wait for it.
 */
async function isBeingEnded(sql: Sql, { pool_id, id }: DueBatch): Promise<boolean> {
  const { count: free } = await sql`
    select from batches where pool_id = ${pool_id} and id = ${id} for key share skip locked`
  return free === 0
}

/** A batch past its `expires_at`. */
interface DueBatch {
  pool_id: number
  pool: string
  id: string
  expires_at: string
}

/**
 * Returns one page of the batches past their `expires_at` that are not removed yet, oldest first: those after `after`,
 * of one pool or of all.
 */
async function readDue(
  sql: Sql,
  { poolId, after, limit }: { poolId: number | undefined; after: DueBatch | undefined; limit: number },
): Promise<DueBatch[]> {
  const isBehind = after
    ? sql`and (b.expires_at, b.pool_id, b.id) > (${after.expires_at}, ${after.pool_id}, ${after.id})`
    : sql``
  return await sql<DueBatch[]>`
    select b.pool_id, p.name as pool, b.id, b.expires_at from batches b
    join pools p on p.id = b.pool_id and p.replica_since is null
    where ${isExpired(sql)} ${isBehind} ${poolId === undefined ? sql`` : sql`and b.pool_id = ${poolId}`}
    order by b.expires_at, b.pool_id, b.id limit ${limit}`
}

/**
 * Whether a row `b` of batches is past its `expires_at` and not removed yet. Same condition as the index
 * batches_expiring.
 */
export const isExpired = (sql: ISql): Fragment => sql`b.expires_at <= now() and b.removed_at is null`
