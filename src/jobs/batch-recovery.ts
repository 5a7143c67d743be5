import type { Sql } from 'postgres'
import type { JobRun } from './job-runs.ts'

/**
 * Returns the idempotency key for the batch of a run: the key of the batch that an earlier attempt started, so that there is no
 * second one, or a new key if that batch is lost (see `missingUsersReason`).
 *
 * Keys start with the run id, followed by a space if there is more. The range up to `!`, the character after the space, uses the
 * index of keys; `starts_with` would scan all batches. The owner is '': a job has no API key.
 */
export async function batchKey(sql: Sql, run: JobRun, pool: string): Promise<string> {
  const [last] = await sql<{ id: string; key: string }[]>`
    select b.id, b.idempotency_key as key from batches b join pools p on p.id = b.pool_id
    where p.name = ${pool} and b.idempotency_owner = ''
      and b.idempotency_key >= ${run.id}::text and b.idempotency_key < ${run.id}::text || '!'
    order by b.id desc limit 1`
  if (!last) return run.id
  return (await missingUsersReason(sql, pool, last.id)) ? `${run.id} after ${last.id}` : last.key
}

/**
 * Says what happened to a batch that no longer has its users, or will not get them; otherwise undefined. The scope's count says
 * whether it has users: searching for one of its users scanned the whole table.
 */
export async function missingUsersReason(sql: Sql, pool: string, id: string): Promise<string | undefined> {
  const [batch] = await sql<{ status: string; made: number; is_empty: boolean }[]>`
    select b.status, b.created_count as made,
      coalesce((
        select s.user_count from scopes s
        where s.pool_id = b.pool_id and s.batch_id = b.id and not s.test_users_only and not s.bulk_users_only offset 0
      ), 0) = 0 as is_empty
    from batches b join pools p on p.id = b.pool_id
    where p.name = ${pool} and b.id = ${id}`
  if (!batch) return 'was removed with its pool'
  const { status, made, is_empty } = batch
  if (status === 'cancelled') return `was cancelled or deleted when ${made} of its users were created`
  if (status === 'failed') return `failed when ${made} of its users were created; the log of the service has the error`
  return made > 0 && is_empty ? 'was deleted' : undefined
}
