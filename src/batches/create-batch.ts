import { createHmac } from 'node:crypto'
import type { Sql, TransactionSql } from 'postgres'
import { sqlState, UNIQUE_VIOLATION } from '../database/sqlstate.ts'
import { Problem } from '../errors.ts'
import { generatePassword } from '../passwords/generate-password.ts'
import { hashCostMs, withCosts } from '../passwords/hash-password.ts'
import { makeTotpKey, sealTotpKey } from '../passwords/totp.ts'
import { poolIsReplica } from '../pools/locks.ts'
import { deriveKey, encrypt } from '../secrets/encryption.ts'
import { type BatchConfig, MAX_CHUNKS } from './batch-config.ts'
import type { CompleteConfig } from './complete-config.ts'
import { makeIds, planNames } from './naming.ts'
import {
  canonicalJson,
  makeSeed,
  passwordDigest,
  populationOf,
  populationPassword,
  populationTotpKey,
  replacePopulation,
} from './population.ts'

export interface NewBatch {
  poolId: number
  count: number
  label: string | null
  /** Seconds until the batch expires; null if it never does. */
  expiresIn: number | null
  /** Called only if no earlier batch has the idempotency key, because the template of the earlier batch may be deleted. */
  resolveSettings: () => Promise<CompleteConfig>
  /** The Idempotency-Key and the body of its request. Each API key (`owner`, empty without one) has a separate key space. */
  idempotency: { owner: string; key: string; body: unknown } | undefined
}

interface Surroundings {
  reservedDomains: string[]
  encryptionKey: Buffer
}

/** Work in one chunk of credentials. Its transaction stays open meanwhile. */
const CREDENTIALS_CHUNK_MS = 1_000

/** Maximum number of credentials in a chunk, however cheap their hashes are. */
const MAX_CREDENTIALS_A_CHUNK = 10_000

/**
 * Returns the number of credentials in a chunk: about a second of work, or one hash. More if the batch would otherwise have too
 * many chunks; `completeConfig` refuses settings with which such a chunk takes over 5 s.
 */
export function credentialsAChunk({ password_hash: hash }: Pick<BatchConfig, 'password_hash'>): number {
  const inTime = Math.floor(CREDENTIALS_CHUNK_MS / hashCostMs(withCosts(hash)))
  return Math.max(Math.min(inTime, MAX_CREDENTIALS_A_CHUNK), Math.ceil(hash.distinct / MAX_CHUNKS))
}

/** Notifications wake the dispatchers. A dispatcher that misses one finds the work by polling. */
export const WAKE_CHANNEL = 'usersync_batches'

/**
 * Writes a batch, its range of `{id}` numbers and its chunks in one transaction, and wakes the dispatchers of every
 * replica. Returns the batch's id, or that of the earlier batch with the same idempotency key and body. Throws
 * `idempotency_key_reused`, `pool_is_replica`, `population_exists`, and what `resolveSettings` and `planNames` throw; then it writes
 * nothing.
 */
export async function createBatch(sql: Sql, batch: NewBatch, surroundings: Surroundings): Promise<string> {
  const { poolId, idempotency } = batch
  const digest = idempotency && digestOf(idempotency.body, surroundings.encryptionKey)
  try {
    const earlier = idempotency && (await findByKey(sql, poolId, idempotency, digest))
    if (earlier !== undefined) return earlier
    const resolved = await batch.resolveSettings()
    return await sql.begin((tx) => insertBatch(tx, { ...batch, ...resolved }, digest, surroundings))
  } catch (error) {
    // Another request with the same key may have been faster, in this replica or another. A population then exists already.
    if (!idempotency || !(error instanceof Problem || sqlState(error) === UNIQUE_VIOLATION)) throw error
    const winner = await findByKey(sql, poolId, idempotency, digest)
    if (winner === undefined) throw error
    return winner
  }
}

/**
 * HMAC instead of a hash: the rest of the body is stored too, so with a hash a reader of the database could test
 * passwords.
 */
const digestOf = (body: unknown, encryptionKey: Buffer) =>
  createHmac('sha256', deriveKey(encryptionKey, 'idempotency')).update(canonicalJson(body)).digest()

async function findByKey(
  sql: Sql,
  poolId: number,
  { owner, key }: { owner: string; key: string },
  digest: Buffer | undefined,
): Promise<string | undefined> {
  const [row] = await sql<{ id: string; idempotency_digest: Buffer }[]>`
    select id, idempotency_digest from batches
    where pool_id = ${poolId} and idempotency_owner = ${owner} and idempotency_key = ${key}`
  if (row && digest && !row.idempotency_digest.equals(digest)) {
    throw new Problem(
      'idempotency_key_reused',
      'This Idempotency-Key was already used with another body. Choose a new key.',
    )
  }
  return row?.id
}

async function insertBatch(
  tx: TransactionSql,
  { poolId, count, label, expiresIn, idempotency, ...resolved }: NewBatch & CompleteConfig,
  digest: Buffer | undefined,
  { reservedDomains, encryptionKey }: Surroundings,
): Promise<string> {
  const settings = { ...resolved.settings, seed: resolved.settings.seed ?? makeSeed() }
  const population = populationOf(settings, count)
  const { batchId, shortId } = population?.ids ?? makeIds()
  const password =
    resolved.password ?? (population ? populationPassword(encryptionKey, population) : generatePassword())
  const totpKey = population ? populationTotpKey(encryptionKey, population) : makeTotpKey()
  const totpCiphertext = settings.totp ? sealTotpKey(encryptionKey, totpKey, batchId) : null
  const { distinct } = settings.password_hash
  const perChunk = credentialsAChunk(settings)
  const [range] = await tx<{ first_number: string; first_credential: string; is_replica: boolean }[]>`
    update pools set next_user_number = next_user_number + ${count}, next_credential_id = next_credential_id + ${distinct}
    where id = ${poolId}
    returning next_user_number - ${count} as first_number, next_credential_id - ${distinct} as first_credential,
      replica_since is not null as is_replica`
  if (!range) throw new Problem('pool_not_found', 'The pool was removed.')
  if (range.is_replica) throw poolIsReplica() // the row is locked, so the pool cannot become a replica before the commit
  const { usernamePattern, emailSuffix } = planNames(
    {
      pattern: settings.username_pattern,
      longestPattern: resolved.users.longestUsernamePattern,
      emailDomain: settings.email_domain,
      count,
    },
    { shortId, firstNumber: Number(range.first_number) },
    reservedDomains,
  )
  const passwordHmac = population ? passwordDigest(encryptionKey, password) : null
  if (passwordHmac) await replacePopulation(tx, { poolId, batchId, passwordHmac })
  await tx`
    insert into batches (pool_id, id, label, total_requested, first_user_number, first_credential_id, credential_count,
      username_pattern, email_suffix, config, password_ciphertext, password_digest, totp_ciphertext, expires_at, idempotency_owner, idempotency_key,
      idempotency_digest)
    values (${poolId}, ${batchId}, ${label}, ${count}, ${range.first_number}, ${range.first_credential},
      ${distinct}, ${usernamePattern}, ${emailSuffix}, ${JSON.stringify(settings)},
      ${encrypt(encryptionKey, password, batchId)}, ${passwordHmac}, ${totpCiphertext},
      now() + ${expiresIn}::int * interval '1 second', ${idempotency?.owner ?? ''}, ${idempotency?.key ?? null},
      ${digest ?? null})`
  await tx`
    insert into chunks (pool_id, batch_id, kind, first_n, last_n)
    select ${poolId}::int, ${batchId}::uuid, 'users', n, least(n + ${settings.chunk_size}::int - 1, ${count}::int)
    from generate_series(1, ${count}::int, ${settings.chunk_size}::int) n
    union all
    select ${poolId}::int, ${batchId}::uuid, 'credentials', n, least(n + ${perChunk}::int - 1, ${distinct}::int)
    from generate_series(1, ${distinct}::int, ${perChunk}::int) n`
  await tx`select pg_notify(${WAKE_CHANNEL}, '')`
  return batchId
}
