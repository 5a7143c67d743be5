import type { Sql } from 'postgres'
import type { JobRun } from './job-runs.ts'

/**
 * The idempotency key by which a run makes its batch: that of the batch which an earlier attempt has begun, so that there is
 * no second one; another where that batch is lost, see `lossOf`.
 */
export async function batchKey(sql: Sql, run: JobRun, pool: string): Promise<string> {
  const [last] = await sql<{ id: string; key: string }[]>`
    select b.id, b.idempotency_key as key from batches b join pools p on p.id = b.pool_id
    where p.name = ${pool} and starts_with(b.idempotency_key, ${run.id}) order by b.id desc limit 1`
  if (!last) return run.id
  return (await lossOf(sql, pool, last.id)) ? `${run.id} after ${last.id}` : last.key
}

/** What has become of a batch whose users are not all there, nor being made, fit for a person; undefined where they are. */
export async function lossOf(sql: Sql, pool: string, id: string): Promise<string | undefined> {
  const [batch] = await sql<{ status: string; made: number; is_empty: boolean }[]>`
    select b.status, b.created_count as made,
      not exists (select from users u where u.pool_id = b.pool_id and u.batch_id = b.id) as is_empty
    from batches b join pools p on p.id = b.pool_id
    where p.name = ${pool} and b.id = ${id}`
  if (!batch) return 'was removed with its pool'
  const { status, made, is_empty } = batch
  if (status === 'cancelled') return `was cancelled or deleted when ${made} of its users were made`
  if (status === 'failed') return `failed when ${made} of its users were made, which the log of the service explains`
  return made > 0 && is_empty ? 'was deleted' : undefined
}
