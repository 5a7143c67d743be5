import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { batchNotFound } from './batches.ts'

/** A user of a batch's range that could not be made. */
export const Failure = Type.Object({
  n: Type.Integer({ description: 'Which user of the batch, from 1' }),
  username: Type.String(),
  email: Type.String(),
  code: Type.Enum(['username_taken', 'email_taken', 'conflict']),
})
export type Failure = Type.Static<typeof Failure>

/** One page of a batch's failures by `n`, those after `after`. Throws `batch_not_found`. */
export async function listFailures(
  sql: Sql,
  poolId: number,
  id: string,
  after: number,
  limit: number,
): Promise<Failure[]> {
  const [batch] = await sql`select from batches where pool_id = ${poolId} and id = ${id}`
  if (!batch) throw batchNotFound()
  return await sql<Failure[]>`
    select n, username, email, code from failures
    where pool_id = ${poolId} and batch_id = ${id} and n > ${after} order by n limit ${limit}`
}
