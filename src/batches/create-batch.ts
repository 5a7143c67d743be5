import { createHmac } from 'node:crypto'
import type { Sql, TransactionSql } from 'postgres'
import { sqlState } from '../database/connection.ts'
import { Problem } from '../errors.ts'
import { encrypt } from '../passwords/encryption.ts'
import type { Algorithm } from '../passwords/hash-password.ts'
import { poolIsReplica } from '../pools/writable-pool.ts'
import { type BatchConfig, MOST_CHUNKS } from './batch-config.ts'
import { makeIds, planNames, requireFittingLines } from './plan.ts'

interface Settled {
  settings: BatchConfig
  password: string
}

export interface NewBatch {
  poolId: number
  count: number
  label: string | null
  /** Seconds after which the batch may be removed; null: never. */
  expiresIn: number | null
  /** Called where there is no earlier batch of the key: the template that it was made from may be gone by now. */
  settle: () => Promise<Settled>
  /** The client's key, and the body that came with it. */
  idempotency: { key: string; body: unknown } | undefined
}

interface Surroundings {
  reservedDomains: string[]
  encryptionKey: Buffer
}

/** About a second's work, in which the transaction stays open. */
const CREDENTIALS_A_CHUNK: Record<Algorithm, number> = {
  argon2id: 20,
  scrypt: 10,
  bcrypt: 8,
  pbkdf2_sha256: 2,
  none: 10_000,
}

/** On this channel dispatchers hear that there is work; who misses it finds the work by polling. */
export const WAKE_CHANNEL = 'usersync_batches'

const UNIQUE_VIOLATION = '23505'

/**
 * Writes a batch, its range of `{id}` numbers and its chunks in one transaction, and wakes the dispatchers of every
 * replica. Gives the batch's id: that of the earlier batch where the pool has one of the same idempotency key and body.
 * Throws what `settle`, `planNames` and `requireFittingLines` throw, before anything is written; `idempotency_key_reused` where the body was another; `pool_is_replica`.
 */
export async function createBatch(sql: Sql, batch: NewBatch, surroundings: Surroundings): Promise<string> {
  const { poolId, idempotency } = batch
  const digest = idempotency && digestOf(idempotency.body, surroundings.encryptionKey)
  try {
    const earlier = idempotency && (await findByKey(sql, poolId, idempotency.key, digest))
    if (earlier !== undefined) return earlier
    const settled = await batch.settle()
    return await sql.begin((tx) => insertBatch(tx, { ...batch, ...settled }, digest, surroundings))
  } catch (error) {
    // Another request of the same key was quicker, here or at another replica.
    if (!idempotency || sqlState(error) !== UNIQUE_VIOLATION) throw error
    const winner = await findByKey(sql, poolId, idempotency.key, digest)
    if (winner === undefined) throw error
    return winner
  }
}

/** Keyed: all of the body but its password stands beside it, and a bare hash would tell a guessed password from others. */
const digestOf = (body: unknown, key: Buffer) => createHmac('sha256', key).update(canonical(body)).digest()

/** JSON with members in one order, so that the same request is the same text however a client writes it. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, member) =>
    member !== null && typeof member === 'object' && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  )
}

async function findByKey(
  sql: Sql,
  poolId: number,
  key: string,
  digest: Buffer | undefined,
): Promise<string | undefined> {
  const [row] = await sql<{ id: string; idempotency_digest: Buffer }[]>`
    select id, idempotency_digest from batches where pool_id = ${poolId} and idempotency_key = ${key}`
  if (row && digest && !row.idempotency_digest.equals(digest)) {
    throw new Problem('idempotency_key_reused', 'This Idempotency-Key came with another body before. Choose a new one.')
  }
  return row?.id
}

async function insertBatch(
  tx: TransactionSql,
  { poolId, count, label, expiresIn, idempotency, settings, password }: NewBatch & Settled,
  digest: Buffer | undefined,
  { reservedDomains, encryptionKey }: Surroundings,
): Promise<string> {
  const { batchId, shortId } = makeIds()
  const { algorithm, distinct } = settings.password_hash
  const credentialsAChunk = Math.max(CREDENTIALS_A_CHUNK[algorithm], Math.ceil(distinct / MOST_CHUNKS))
  const [range] = await tx<{ first_number: string; first_credential: string; is_replica: boolean }[]>`
    update pools set next_user_number = next_user_number + ${count}, next_credential_id = next_credential_id + ${distinct}
    where id = ${poolId}
    returning next_user_number - ${count} as first_number, next_credential_id - ${distinct} as first_credential,
      replica_since is not null as is_replica`
  if (!range) throw new Problem('pool_not_found', 'The pool was removed.')
  if (range.is_replica) throw poolIsReplica() // with the row locked: it cannot become one before this is committed
  const firstNumber = Number(range.first_number)
  const plan = planNames(
    { pattern: settings.username_pattern, emailDomain: settings.email_domain, count },
    { shortId, firstNumber },
    reservedDomains,
  )
  requireFittingLines(plan, { count, firstNumber }, settings)
  const { usernamePattern, emailSuffix } = plan
  await tx`
    insert into batches (pool_id, id, label, total_requested, first_user_number, first_credential_id, username_pattern,
      email_suffix, config, password_ciphertext, expires_at, idempotency_key, idempotency_digest)
    values (${poolId}, ${batchId}, ${label}, ${count}, ${range.first_number}, ${range.first_credential},
      ${usernamePattern}, ${emailSuffix}, ${JSON.stringify(settings)}, ${encrypt(encryptionKey, password, batchId)},
      now() + ${expiresIn}::int * interval '1 second', ${idempotency?.key ?? null}, ${digest ?? null})`
  await tx`
    insert into chunks (pool_id, batch_id, kind, first_n, last_n)
    select ${poolId}::int, ${batchId}::uuid, 'users', n, least(n + ${settings.chunk_size}::int - 1, ${count}::int)
    from generate_series(1, ${count}::int, ${settings.chunk_size}::int) n
    union all
    select ${poolId}::int, ${batchId}::uuid, 'credentials', n, least(n + ${credentialsAChunk}::int - 1, ${distinct}::int)
    from generate_series(1, ${distinct}::int, ${credentialsAChunk}::int) n`
  await tx`select pg_notify(${WAKE_CHANNEL}, '')`
  return batchId
}
