import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { TransactionSql } from 'postgres'
import { forceIndexScans } from '../database/index-order.ts'
import { Problem } from '../errors.ts'
import { derivePassword } from '../passwords/generate-password.ts'
import { deriveKey } from '../secrets/encryption.ts'
import type { BatchConfig } from './batch-config.ts'
import { makeIds } from './naming.ts'

/** A batch whose settings have an `epoch`: the same settings produce the same users, ids and times included, on any server. */
export interface Population {
  /** SHA-256 of everything that determines the users. */
  digest: Buffer
  ids: ReturnType<typeof makeIds>
}

/** A seed for a batch that names none: 64 random bits. */
export const makeSeed = () => randomBytes(8).toString('hex')

/** JSON with sorted members, so that equal values have equal texts, whatever the order of their members. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, member) =>
    member !== null && typeof member === 'object' && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  )
}

/**
 * The population of `count` users that the settings describe, undefined if they have no epoch. How the work is divided
 * does not matter. How logins are made does: a state contains no logins, so two populations with different logins must
 * not have the same state.
 */
export function populationOf(settings: BatchConfig, count: number): Population | undefined {
  const { chunk_size: _, max_workers: __, ...decisive } = settings
  if (settings.epoch === undefined) return undefined
  const digest = createHash('sha256')
    .update(canonicalJson({ ...decisive, count }))
    .digest()
  return { digest, ids: makeIds(Date.parse(settings.epoch), digest.subarray(0, 5)) }
}

/**
 * The password of a population whose request names none. The same for each batch of the population on this service: a
 * client that holds the users of a deleted batch sees the same state when the batch is created again, so it must not
 * hold other passwords.
 */
export const populationPassword = (encryptionKey: Buffer, { digest }: Population) =>
  derivePassword(deriveKey(encryptionKey, 'population').toString('hex'), digest.toString('hex'))

/** The key of the second factors of a population. The same for each of its batches on this service, like its password. */
export const populationTotpKey = (encryptionKey: Buffer, { digest }: Population) =>
  createHmac('sha256', deriveKey(encryptionKey, 'population totp')).update(digest).digest('hex')

/** Identifies a password without revealing it to readers of the database. */
export const passwordDigest = (encryptionKey: Buffer, password: string) =>
  createHmac('sha256', deriveKey(encryptionKey, 'population password')).update(password).digest()

/**
 * Makes room for a population in a pool whose row is locked: forgets a deleted batch of it. Throws `population_exists`
 * if the batch still has users, or had another password.
 */
export async function replacePopulation(
  tx: TransactionSql,
  { poolId, batchId, passwordHmac }: { poolId: number; batchId: string; passwordHmac: Buffer },
): Promise<void> {
  await forceIndexScans(tx) // with stale statistics, the planner would look for a user of the batch in the whole pool
  const [earlier] = await tx<{ password_digest: Buffer | null; is_removed: boolean; has_users: boolean }[]>`
    select password_digest, removed_at is not null as is_removed, (
        exists (select from users u where u.pool_id = b.pool_id and u.batch_id = b.id)
        or exists (
          select from credentials c where c.pool_id = b.pool_id
            and c.id between b.first_credential_id and b.first_credential_id + b.credential_count - 1
        )
      ) as has_users
    from batches b where b.pool_id = ${poolId} and b.id = ${batchId}`
  if (!earlier) return
  const exists = (detail: string) =>
    new Problem('population_exists', detail, {
      headers: { location: `/v1/batches/${batchId}` },
      members: { batch_id: batchId },
    })
  if (!earlier.is_removed || earlier.has_users) {
    throw exists(
      `The batch /v1/batches/${batchId} has this seed, epoch and settings. Delete it first, or use another seed.`,
    )
  }
  if (!earlier.password_digest || !timingSafeEqual(earlier.password_digest, passwordHmac)) {
    throw exists(
      `The deleted batch /v1/batches/${batchId} had another password, and clients that hold its users could not tell the difference. Use the same password, or another seed.`,
    )
  }
  await tx`delete from batches where pool_id = ${poolId} and id = ${batchId}`
}
