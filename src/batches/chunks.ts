import type { Sql, TransactionSql } from 'postgres'
import { QUERY_CANCELED, sqlState } from '../database/sqlstate.ts'
import { passwordOf } from '../passwords/generate-password.ts'
import { hashPassword, withCosts } from '../passwords/hash-password.ts'
import { decrypt } from '../secrets/encryption.ts'
import { type BatchErrorCode, classify } from './batch-errors.ts'
import { type BatchPart, type Chunk, type ChunkPart, createUsers } from './create-users.ts'

/**
 * `done`: the chunk is committed, with the numbers of users created and failed; `kind` and `first_n` identify a chunk
 * of a batch. `none`: no chunk is free. `retry`: another attempt may succeed. `failed`: no attempt can. `reason` is for
 * the log.
 */
export type ChunkOutcome =
  | { outcome: 'done'; kind: Chunk['kind']; first_n: number; created: number; failed: number }
  | { outcome: 'none' }
  | { outcome: 'retry' | 'failed'; code: BatchErrorCode; reason: string }

/** A chunk that reaches the statement timeout is halved. The batch fails after this many timeouts in one range of users. */
const MAX_TIMEOUTS = 3

/**
 * Takes a free chunk of the batch and completes it in one transaction. So its effect happens exactly once, and a crash
 * at any moment frees the chunk. Runs in a worker thread.
 */
export async function workChunk(
  sql: Sql,
  poolId: number,
  batchId: string,
  encryptionKey: Buffer,
): Promise<ChunkOutcome> {
  try {
    return await sql.begin(async (tx) => {
      const chunk = await takeChunk(tx, poolId, batchId)
      if (!chunk) return { outcome: 'none' }
      return chunk.kind === 'credentials' ? await doCredentials(tx, chunk, encryptionKey) : await doUsers(tx, chunk)
    })
  } catch (error) {
    const { code, canRetry } = classify(error)
    const reason = sqlState(error) ?? (error as Error).message
    return { outcome: canRetry ? 'retry' : 'failed', code, reason }
  }
}

/**
 * Locks a free chunk until the transaction ends. Credentials come first: no chunk of users starts before all
 * credentials are committed. So everything that an export may include with a user is committed before the user. If an
 * export contained a user without its login, it would never correct this, because a login changes no state.
 *
 * Locks the batch's row before the chunk. Ending a batch locks the row for update, and so waits for chunks in progress;
 * no chunk starts after the batch has ended. The shared lock lets other chunks update the counters. It does not wait: a
 * deletion holds the row until a million users are deleted, and would occupy every thread meanwhile.
 */
async function takeChunk(tx: TransactionSql, poolId: number, batchId: string): Promise<Chunk | undefined> {
  const [batch] = await shareBatch(tx, poolId, batchId)
  // Without the batch, do not touch a chunk: the end of the batch skips a locked one, which would then stay.
  if (!batch) return undefined
  const [chunk] = await lockChunk(tx, poolId, batchId)
  return chunk && { ...batch, ...chunk }
}

const shareBatch = (tx: TransactionSql, poolId: number, batchId: string) => tx<BatchPart[]>`
  select pool_id, id as batch_id, first_user_number, first_credential_id, credential_count, username_pattern, email_suffix,
    config, total_requested, config->>'epoch' as epoch,
    password_ciphertext, config->>'password_mode' as password_mode, config->'password_hash' as password_hash
  from batches where pool_id = ${poolId} and id = ${batchId} and status in ('queued', 'running')
  for key share skip locked`

const lockChunk = (tx: TransactionSql, poolId: number, batchId: string) => tx<ChunkPart[]>`
  select c.kind, c.first_n, c.last_n, c.timeouts from chunks c
  where c.pool_id = ${poolId} and c.batch_id = ${batchId} and (c.kind = 'credentials' or not exists (
    select from chunks o where o.pool_id = ${poolId} and o.batch_id = ${batchId} and o.kind = 'credentials'))
  order by c.kind, c.first_n limit 1
  for update of c skip locked`

async function doUsers(tx: TransactionSql, chunk: Chunk): Promise<ChunkOutcome> {
  const { kind, first_n, last_n } = chunk
  let created: number
  try {
    created = await tx.savepoint((savepoint) => createUsers(savepoint, chunk)) // else pieces before the timeout would stay
  } catch (error) {
    if (sqlState(error) !== QUERY_CANCELED) throw error
    const canRetry = chunk.timeouts + 1 < MAX_TIMEOUTS && last_n > first_n
    if (canRetry) await halve(tx, chunk)
    return { outcome: canRetry ? 'retry' : 'failed', code: 'statement_timeout', reason: QUERY_CANCELED }
  }
  const failed = last_n - first_n + 1 - created
  await finishUsers(tx, chunk, created, failed)
  return { outcome: 'done', kind, first_n, created, failed }
}

/** Replaces the chunk with two halves. */
async function halve(tx: TransactionSql, { pool_id, batch_id, kind, first_n, last_n, timeouts }: Chunk): Promise<void> {
  const middle = Math.floor((first_n + last_n) / 2)
  await tx`
    insert into chunks (pool_id, batch_id, kind, first_n, last_n, timeouts)
    values (${pool_id}, ${batch_id}, ${kind}, ${middle + 1}, ${last_n}, ${timeouts + 1})`
  await tx`
    update chunks set last_n = ${middle}, timeouts = ${timeouts + 1}
    where pool_id = ${pool_id} and batch_id = ${batch_id} and kind = ${kind} and first_n = ${first_n}`
}

/**
 * Deletes a completed chunk of users and adds its counts to the batch. This must be the last statement before the
 * commit, because it locks a row that the other chunks of the batch update too.
 */
async function finishUsers(tx: TransactionSql, chunk: Chunk, created: number, failed: number): Promise<void> {
  const { pool_id, batch_id, kind, first_n } = chunk
  await tx`
    with closed as (
      delete from chunks
      where pool_id = ${pool_id} and batch_id = ${batch_id} and kind = ${kind} and first_n = ${first_n}
    )
    update batches set created_count = created_count + ${created}, failed_count = failed_count + ${failed},
      chunk_count = chunk_count + 1, last_error = null,
      peak_memory_bytes = greatest(peak_memory_bytes, ${process.memoryUsage.rss()})
    where pool_id = ${pool_id} and id = ${batch_id}`
}

/**
 * Creates the chunk's credentials: the shared password, or one derived password each, hashed with a separate salt. User
 * n of the batch has the credential (n - 1) modulo their number. One chunk takes about a second, so that the
 * transaction stays short.
 */
async function doCredentials(tx: TransactionSql, chunk: Chunk, encryptionKey: Buffer): Promise<ChunkOutcome> {
  const { pool_id, batch_id, kind, first_n, last_n } = chunk
  const secret = secretOf(chunk, encryptionKey)
  if (secret === undefined) return { outcome: 'failed', code: 'password_unreadable', reason: 'password_unreadable' }
  const hash = withCosts(chunk.password_hash)
  const ids: string[] = []
  const hashes: (string | null)[] = []
  for (let n = first_n; n <= last_n; n++) {
    const id = String(BigInt(chunk.first_credential_id) + BigInt(n - 1))
    const password = passwordOf(chunk.password_mode, secret, n)
    ids.push(id)
    hashes.push(hashPassword(hash, password))
  }
  await tx`
    with closed as (
      delete from chunks
      where pool_id = ${pool_id} and batch_id = ${batch_id} and kind = ${kind} and first_n = ${first_n}
    ), counted as (
      update batches set hashed_count = hashed_count + ${hashes.filter((text) => text !== null).length} where pool_id = ${pool_id} and id = ${batch_id}
    )
    insert into credentials (pool_id, id, batch_id, password_hash)
    select ${pool_id}, c.id, ${batch_id}, c.hash from unnest(${ids}::bigint[], ${hashes}::text[]) c (id, hash)`
  return { outcome: 'done', kind, first_n, created: 0, failed: 0 }
}

function secretOf({ batch_id, password_ciphertext }: Chunk, encryptionKey: Buffer): string | undefined {
  try {
    return decrypt(encryptionKey, password_ciphertext, batch_id)
  } catch {
    return undefined
  }
}
