import type { ISql, Sql } from 'postgres'
import { Type } from 'typebox'
import { type Page, readPage } from '../database/page.ts'
import { named } from '../http/schemas.ts'
import { batchNotFound } from './batches.ts'

/** A user of a batch that could not be created, or a row of an import that was rejected. */
export const Failure = named('BatchFailure', {
  n: Type.Integer({ description: 'Number of the user in the batch, or of the row in the import, from 1' }),
  username: Type.String(),
  email: Type.String(),
  code: Type.Enum([
    'username_taken',
    'email_taken',
    'conflict',
    'id_taken',
    'user_protected',
    'invalid_row',
    'unknown_member',
    'not_test_user',
    'domain_not_reserved',
    'user_too_large',
  ]),
})
export type Failure = Type.Static<typeof Failure>

/**
 * Returns one page of a batch's failures by `n`: those after `after`. A deleted batch has none. Throws
 * `batch_not_found`.
 */
export async function listFailures(
  sql: Sql,
  poolId: number,
  id: string,
  after: number,
  limit: number,
): Promise<Page<Failure>> {
  const [batch] = await sql`select from batches where pool_id = ${poolId} and id = ${id}`
  if (!batch) throw batchNotFound()
  return await readPage(
    sql,
    limit,
    (sql, rows) => sql<Failure[]>`
      select n, username, email, code from failures
      where pool_id = ${poolId} and batch_id = ${id} and n > ${after} order by n limit ${rows}`,
  )
}

/** Stores failures of an import. */
export async function recordFailures(tx: ISql, poolId: number, id: string, all: Failure[]): Promise<void> {
  await tx`
    insert into failures (pool_id, batch_id, n, username, email, code)
    select ${poolId}, ${id}, f.n, f.username, f.email, f.code
    from unnest(${all.map(({ n }) => n)}::int[], ${all.map(({ username }) => username)}::text[],
      ${all.map(({ email }) => email)}::text[], ${all.map(({ code }) => code)}::text[]) f (n, username, email, code)`
}
