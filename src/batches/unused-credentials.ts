import type { Fragment, Sql, TransactionSql } from 'postgres'
import { attemptEach } from '../database/attempt-each.ts'

/**
 * Maximum number of rows of `credential_checks`, which the trigger `note_credentials` adds, that one transaction
 * handles. Each deletion of a single user adds one, and all that name the same credential take as long as one.
 */
const CHECKS_A_SWEEP = 10_000

/**
 * Deletes, in all pools, the credentials that lost their last user, and the secrets that no credential needs. It does
 * not matter how the users were deleted; plain SQL is fine. Two sweeps at once are harmless. A pool that cannot be swept
 * does not stop the others; then it throws at the end.
 */
export async function sweepCredentials(sql: Sql, signal?: AbortSignal): Promise<void> {
  const pools = await sql<{ pool_id: number }[]>`select distinct pool_id from credential_checks order by pool_id`
  await attemptEach(pools, async ({ pool_id }) => {
    while (!signal?.aborted && (await sweepPool(sql, pool_id)) === CHECKS_A_SWEEP);
  })
}

/** Returns how many rows of `credential_checks` it handled. */
function sweepPool(sql: Sql, poolId: number): Promise<number> {
  return sql.begin(async (tx) => {
    const checks = await takeChecks(tx, poolId)
    const merged = mergeRanges(checks)
    const ranges = tx`unnest(${merged.map(({ first_id }) => first_id)}::bigint[], ${merged.map(({ last_id }) => last_id)}::bigint[])`
    if (checks.length > 0) await deleteSecrets(tx, poolId, await deleteCredentials(tx, poolId, ranges))
    return checks.length
  })
}

/**
 * Deletes what an ended batch leaves unused: credentials without a user, and the secret if no credential is left. Call
 * it in the transaction that ends the batch or deletes its users.
 */
export async function deleteUnusedCredentials(tx: TransactionSql, poolId: number, batchId: string): Promise<void> {
  const ranges = tx`(
    select first_credential_id, first_credential_id + credential_count - 1 from batches
    where pool_id = ${poolId} and id = ${batchId})`
  await deleteCredentials(tx, poolId, ranges)
  await deleteSecrets(tx, poolId, [batchId])
}

/** Consecutive ids of credentials. */
interface Range {
  first_id: string
  last_id: string
}

/**
 * Returns the same ids in ranges without overlap. 100 users of one shared password are 100 checks of one credential, and
 * each would look for a user that still has it.
 */
export function mergeRanges(ranges: Range[]): Range[] {
  const merged: { first: bigint; last: bigint }[] = []
  const sorted = ranges.map(({ first_id, last_id }) => ({ first: BigInt(first_id), last: BigInt(last_id) }))
  for (const range of sorted.toSorted((a, b) => (a.first < b.first ? -1 : 1))) {
    const before = merged.at(-1)
    if (!before || range.first > before.last) merged.push(range)
    else if (range.last > before.last) before.last = range.last
  }
  return merged.map(({ first, last }) => ({ first_id: String(first), last_id: String(last) }))
}

/** Takes rows of `credential_checks`. Skips those of unfinished batches, which still create users. */
async function takeChecks(tx: TransactionSql, poolId: number): Promise<Range[]> {
  return await tx<Range[]>`
    delete from credential_checks where id = any(array(
      select q.id from credential_checks q
      where q.pool_id = ${poolId} and not exists (
        select from batches b
        where b.pool_id = ${poolId} and b.status in ('queued', 'running')
          and b.first_credential_id <= q.last_id and b.first_credential_id + b.credential_count > q.first_id)
      order by q.id limit ${CHECKS_A_SWEEP}
      for update skip locked))
    returning first_id, last_id`
}

/**
 * Deletes the credentials in `ranges` that no user refers to, and returns their batches.
 *
 * Finding a credential's users needs no index: user n of the batch has the credential (n - 1) modulo their number and
 * an id that ends in n, even if the user is now in another batch. The series is in the select list, so PostgreSQL
 * generates one value at a time and the look-up stops at the first user that it finds.
 */
async function deleteCredentials(tx: TransactionSql, poolId: number, ranges: Fragment): Promise<string[]> {
  const rows = await tx<{ batch_id: string }[]>`
    with deleted as (
      delete from credentials where pool_id = ${poolId} and id = any(array(
        select c.id from ${ranges} r (first_id, last_id)
        cross join lateral (
          select * from credentials c where c.pool_id = ${poolId} and c.id between r.first_id and r.last_id offset 0
        ) c
        cross join lateral (
          select b.id, b.status, b.first_credential_id, b.credential_count, b.total_requested from batches b
          where b.pool_id = ${poolId} and b.id = c.batch_id offset 0
        ) b
        where not c.pinned and b.status not in ('queued', 'running') and not exists (
          select from (
            select generate_series(c.id - b.first_credential_id + 1, b.total_requested, b.credential_count) as n offset 0
          ) s
          cross join lateral (
            select u.credential_id from users u
            where u.pool_id = ${poolId} and u.id = (left(b.id::text, 28) || lpad(to_hex(s.n), 8, '0'))::uuid offset 0
          ) u
          where u.credential_id = c.id)
      ))
      returning batch_id
    )
    select distinct batch_id from deleted`
  return rows.map(({ batch_id }) => batch_id)
}

/** Deletes the secrets of the given batches that have ended and have no credential left. */
async function deleteSecrets(tx: TransactionSql, poolId: number, batchIds: string[]): Promise<void> {
  await tx`
    update batches b set password_ciphertext = null, totp_ciphertext = null
    where b.pool_id = ${poolId} and b.id = any(${batchIds}::uuid[]) and b.password_ciphertext is not null
      and b.status not in ('queued', 'running') and not exists (
        select from credentials c
        where c.pool_id = ${poolId} and c.id between b.first_credential_id and b.first_credential_id + b.credential_count - 1
        offset 0)`
}
