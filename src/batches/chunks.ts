import type { Sql, TransactionSql } from 'postgres'
import { isDatabaseUnavailable, isHeldUp, sqlState } from '../database/connection.ts'
import { decrypt } from '../passwords/encryption.ts'
import { type Algorithm, hashPassword } from '../passwords/hash-password.ts'
import { passwordOf } from '../passwords/password-of.ts'

/**
 * `done`: a chunk's work is committed, with so many users made and not; its batch has one such `first_n` of a kind. `none`: no
 * chunk was free. `retry`: it may work later. `failed`: it never will.
 */
export type ChunkOutcome =
  | { outcome: 'done'; kind: Chunk['kind']; first_n: number; created: number; failed: number }
  | { outcome: 'none' }
  | { outcome: 'retry' | 'failed'; reason: string }

interface Chunk {
  kind: 'credentials' | 'users'
  first_n: number
  last_n: number
  first_user_number: string
  first_credential_id: string
  username_pattern: string
  email_suffix: string
  role: string
  custom_attributes: string
  password_mode: 'shared' | 'per_user'
  algorithm: Algorithm
  distinct: number
  password_ciphertext: Buffer
}

const UNIQUE_VIOLATION = '23505'

/**
 * Takes one free chunk of the batch and does it, all in one transaction: so its effect happens exactly once, and a crash at
 * any moment gives the chunk back. Runs in a worker thread.
 */
export async function workChunk(
  sql: Sql,
  poolId: number,
  batchId: string,
  encryptionKey: Buffer,
): Promise<ChunkOutcome> {
  try {
    return await sql.begin(async (tx): Promise<ChunkOutcome> => {
      const chunk = await takeChunk(tx, poolId, batchId)
      if (!chunk) return { outcome: 'none' }
      const counts = { created: 0, failed: 0 }
      if (chunk.kind === 'credentials') {
        const secret = decrypt(encryptionKey, chunk.password_ciphertext, batchId)
        await insertCredentials(tx, poolId, batchId, chunk, secret)
      } else {
        counts.created = await insertUsers(tx, poolId, batchId, chunk)
        counts.failed = chunk.last_n - chunk.first_n + 1 - counts.created
        if (counts.failed > 0) await recordFailures(tx, poolId, batchId, chunk)
      }
      await finishChunk(tx, poolId, batchId, chunk, counts)
      return { outcome: 'done', kind: chunk.kind, first_n: chunk.first_n, ...counts }
    })
  } catch (error) {
    const passing = isDatabaseUnavailable(error) || isHeldUp(error)
    return { outcome: passing ? 'retry' : 'failed', reason: sqlState(error) ?? (error as Error).message }
  }
}

/**
 * Locks a free chunk until the transaction ends, credentials before users. The batch's row is locked against its deletion
 * meanwhile: who deletes a batch waits for its chunks in work, and a chunk is not begun under a batch that was cancelled.
 */
async function takeChunk(tx: TransactionSql, poolId: number, batchId: string): Promise<Chunk | undefined> {
  const [chunk] = await tx<Chunk[]>`
    select c.kind, c.first_n, c.last_n, b.first_user_number, b.first_credential_id, b.username_pattern, b.email_suffix,
      b.config->>'role' as role, b.config->>'custom_attributes' as custom_attributes, b.password_ciphertext,
      b.config->>'password_mode' as password_mode, b.config->'password_hash'->>'algorithm' as algorithm,
      (b.config->'password_hash'->>'distinct')::int as distinct
    from chunks c join batches b on b.pool_id = c.pool_id and b.id = c.batch_id
    where c.pool_id = ${poolId} and c.batch_id = ${batchId} and c.finished_at is null and b.status in ('queued', 'running')
    order by c.kind, c.first_n limit 1
    for share of b for update of c skip locked`
  return chunk
}

/** The users n = first_n to last_n of the batch, as one relation `planned`. Names are filled in as `fillPattern` does. */
function planned(tx: TransactionSql, batchId: string, chunk: Chunk) {
  return tx`(
    select n, (left(${batchId}::text, 28) || lpad(to_hex(n), 8, '0'))::uuid as id, username,
      username || ${chunk.email_suffix} as email
    from generate_series(${chunk.first_n}::int, ${chunk.last_n}::int) n
    cross join lateral (
      select replace(
        replace(${chunk.username_pattern}, '{id}', (${chunk.first_user_number}::bigint + n - 1)::text), '{n}', n::text)
    ) filled (username)
  ) planned`
}

/**
 * Inserts the chunk's users, but those whose name or address is taken. Gives how many it made. To look for conflicts row by
 * row costs a quarter of the database's time, and there hardly ever is one; so the first attempt is without, behind a
 * savepoint. A chunk that does meet one is inserted twice (4.4 s instead of 3.6 s for 100,000 users that all conflict).
 */
async function insertUsers(tx: TransactionSql, poolId: number, batchId: string, chunk: Chunk): Promise<number> {
  try {
    await tx.savepoint((savepoint) => insertPlanned(savepoint, poolId, batchId, chunk))
    return chunk.last_n - chunk.first_n + 1
  } catch (error) {
    if (sqlState(error) !== UNIQUE_VIOLATION) throw error
    const [row] = await tx<{ count: number }[]>`
      with inserted as (${insertPlanned(tx, poolId, batchId, chunk)} on conflict do nothing returning 1)
      select count(*)::int as count from inserted`
    return row?.count ?? 0
  }
}

/** The statement that inserts all of the chunk's users. */
function insertPlanned(tx: TransactionSql, poolId: number, batchId: string, chunk: Chunk) {
  return tx`
    insert into users
      (pool_id, id, username, email, role, is_test_user, batch_id, created_by_bulk, custom_attributes, credential_id)
    select ${poolId}, id, username, email, ${chunk.role}, true, ${batchId}, true, ${chunk.custom_attributes}::jsonb,
      ${chunk.first_credential_id}::bigint + (n - 1) % ${chunk.distinct}::int
    from ${planned(tx, batchId, chunk)}`
}

/**
 * Records which users of the chunk are not there, and what of theirs is taken. `offset 0` keeps the planner from reading the whole
 * pool into a hash table for it.
 */
async function recordFailures(tx: TransactionSql, poolId: number, batchId: string, chunk: Chunk): Promise<void> {
  await tx`
    insert into failures (pool_id, batch_id, n, username, email, code)
    select ${poolId}, ${batchId}, planned.n, planned.username, planned.email,
      case
        when exists (select from users u where u.pool_id = ${poolId} and u.username = planned.username offset 0) then 'username_taken'
        when exists (select from users u where u.pool_id = ${poolId} and u.email = planned.email offset 0) then 'email_taken'
        else 'conflict' -- what was in the way is gone by now
      end
    from ${planned(tx, batchId, chunk)}
    where not exists (select from users u where u.pool_id = ${poolId} and u.id = planned.id offset 0)`
}

/**
 * Makes the chunk's credentials: the shared password, or one derived for each, hashed with a salt of its own. User n of the
 * batch has the credential (n - 1) modulo `distinct`. One chunk is a second's work, so that the transaction stays short.
 */
async function insertCredentials(tx: TransactionSql, poolId: number, batchId: string, chunk: Chunk, secret: string) {
  const ids: string[] = []
  const hashes: (string | null)[] = []
  for (let n = chunk.first_n; n <= chunk.last_n; n++) {
    const id = String(BigInt(chunk.first_credential_id) + BigInt(n - 1))
    const password = passwordOf(chunk.password_mode, secret, id)
    ids.push(id)
    hashes.push(chunk.algorithm === 'none' ? null : hashPassword(chunk.algorithm, password))
  }
  await tx`
    insert into credentials (pool_id, id, batch_id, password_hash)
    select ${poolId}, c.id, ${batchId}, c.hash from unnest(${ids}::bigint[], ${hashes}::text[]) c (id, hash)`
}

async function finishChunk(
  tx: TransactionSql,
  poolId: number,
  batchId: string,
  chunk: Chunk,
  { created, failed }: { created: number; failed: number },
): Promise<void> {
  await tx`
    update chunks set created_count = ${created}, failed_count = ${failed}, finished_at = now(),
      memory_bytes = ${process.memoryUsage.rss()}
    where pool_id = ${poolId} and batch_id = ${batchId} and kind = ${chunk.kind} and first_n = ${chunk.first_n}`
}
