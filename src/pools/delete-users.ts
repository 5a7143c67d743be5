import type { TransactionSql } from 'postgres'

/**
 * Users that one statement deletes: two seconds of work. One statement for all reached the statement timeout of 300 s with some ten
 * million users, and again with each repetition.
 */
const USERS_A_STATEMENT = 100_000

/** What to delete: the test users of a batch, or all users of a pool. */
interface Doomed {
  poolId: number
  batchId?: string
}

/**
 * Deletes users in the caller's transaction, in the order of their ids. Returns how many.
 *
 * The subquery hides the pool from the planner. For a pool without statistics the planner expects one user, takes any index that
 * begins with the pool, and reads the whole pool for each page.
 */
export async function deleteUsers(
  tx: TransactionSql,
  of: Doomed,
  usersAStatement = USERS_A_STATEMENT,
): Promise<number> {
  const { poolId, batchId } = of
  const isDoomed = batchId === undefined ? tx`` : tx`and batch_id = ${batchId} and is_test_user`
  let deleted = 0
  let from = '00000000-0000-0000-0000-000000000000'
  for (;;) {
    const { size, last } = await readPage(tx, of, from, usersAStatement)
    if (last === null) return deleted
    const { count } = await tx`
      delete from users where pool_id = (select ${poolId}::int) and id >= ${from} and id <= ${last} ${isDoomed}`
    deleted += count
    if (size < usersAStatement) return deleted
    from = last
  }
}

/**
 * Returns the number of users of the next page, which begins at the id `from`, and the last of their ids. The batch is a range and
 * part of the order, so that the plan walks the index of the batch and not the whole pool (list-users.ts).
 */
async function readPage(tx: TransactionSql, { poolId, batchId }: Doomed, from: string, limit: number) {
  const page =
    batchId === undefined
      ? tx`id >= ${from} order by id`
      : tx`batch_id <= ${batchId} and (batch_id, id) >= (${batchId}, ${from}) order by batch_id, id`
  const [row] = await tx<[{ size: number; last: string | null }]>`
    select count(*)::int as size, max(id::text collate "C") as last
    from (select id from users where pool_id = ${poolId} and ${page} limit ${limit}) page`
  return row
}
