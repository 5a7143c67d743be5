import type { Fragment, Sql } from 'postgres'
import { ANY_BATCH } from '../database/tables.ts'
import { Problem } from '../errors.ts'
import { encrypt } from '../passwords/encryption.ts'
import type { BatchConfig } from './batch-config.ts'
import { makeIds, planNames } from './plan.ts'

/** A batch as it is answered; times are RFC 3339 in UTC. */
export interface Batch {
  id: string
  label: string | null
  status: 'queued' | 'running' | 'completed' | 'completed_with_failures' | 'cancelled' | 'failed'
  total_requested: number
  created_count: number
  failed_count: number
  progress: number
  throughput_per_second: number | null
  eta_seconds: number | null
  created_at: string
  started_at: string | null
  finished_at: string | null
  expires_at: string | null
  config: BatchConfig
  profile: { duration_ms: number | null; peak_memory_bytes: number | null; chunks: number; workers: number }
  state: string
}

interface BatchRow extends Omit<Batch, 'progress' | 'throughput_per_second' | 'eta_seconds' | 'profile'> {
  elapsed_ms: number | null
  peak_memory_bytes: number | null
  chunk_count: number
}

export interface NewBatch {
  poolId: number
  count: number
  label: string | null
  settings: BatchConfig
  password: string
}

/** On this channel dispatchers hear that there is work; who misses it finds the work by polling. */
export const WAKE_CHANNEL = 'usersync_batches'

const notFound = () => new Problem('batch_not_found', 'It may be in another pool.')

/**
 * Writes a batch, its range of `{id}` numbers and its chunks in one transaction, and wakes the dispatchers of every
 * replica. Gives the batch's id. Throws what `planNames` throws, before anything is written, and `pool_not_found`.
 */
export async function createBatch(
  sql: Sql,
  { poolId, count, label, settings, password }: NewBatch,
  { reservedDomains, encryptionKey }: { reservedDomains: string[]; encryptionKey: Buffer },
): Promise<string> {
  const { batchId, shortId } = makeIds()
  const hashCount = settings.password_hash.algorithm === 'none' ? 0 : settings.password_hash.distinct
  await sql.begin(async (tx) => {
    const [range] = await tx<{ first_number: string; first_credential: string }[]>`
      update pools set next_user_number = next_user_number + ${count}, next_credential_id = next_credential_id + ${hashCount}
      where id = ${poolId}
      returning next_user_number - ${count} as first_number, next_credential_id - ${hashCount} as first_credential`
    if (!range) throw new Problem('pool_not_found', 'The pool was removed.')
    const { usernamePattern, emailSuffix } = planNames(
      { pattern: settings.username_pattern, emailDomain: settings.email_domain, count },
      { shortId, firstNumber: Number(range.first_number) },
      reservedDomains,
    )
    await tx`
      insert into batches (pool_id, id, label, total_requested, first_user_number, first_credential_id, username_pattern,
        email_suffix, config, password_ciphertext)
      values (${poolId}, ${batchId}, ${label}, ${count}, ${range.first_number}, ${range.first_credential},
        ${usernamePattern}, ${emailSuffix}, ${JSON.stringify(settings)}, ${encrypt(encryptionKey, password, batchId)})`
    await tx`
      insert into chunks (pool_id, batch_id, kind, first_n, last_n)
      select ${poolId}::int, ${batchId}::uuid, 'users', n, least(n + ${settings.chunk_size}::int - 1, ${count}::int)
      from generate_series(1, ${count}::int, ${settings.chunk_size}::int) n
      union all
      select ${poolId}::int, ${batchId}::uuid, 'credentials', n, n from generate_series(1, ${hashCount}::int) n`
    await tx`select pg_notify(${WAKE_CHANNEL}, '')`
  })
  return batchId
}

/** The batch, its progress read from its chunks. Throws `batch_not_found`. */
export async function readBatch(sql: Sql, poolId: number, id: string): Promise<Batch> {
  const [row] = await selectBatches(sql, poolId, sql`b.id = ${id}`, 1)
  if (!row) throw notFound()
  return row
}

/** One page of batches, the newest first: those made before the batch `before`. */
export function listBatches(sql: Sql, poolId: number, before: string | undefined, limit: number): Promise<Batch[]> {
  return selectBatches(sql, poolId, before === undefined ? sql`true` : sql`b.id < ${before}`, limit)
}

async function selectBatches(sql: Sql, poolId: number, condition: Fragment, limit: number): Promise<Batch[]> {
  const time = (column: string) => sql`to_char(${sql(column)} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
  const rows = await sql<BatchRow[]>`
    select b.id, b.label, b.status, b.total_requested, c.created_count, c.failed_count, b.config,
      ${time('b.created_at')} as created_at, ${time('b.started_at')} as started_at, ${time('b.finished_at')} as finished_at,
      null as expires_at, c.chunk_count, c.peak_memory_bytes,
      (extract(epoch from coalesce(b.finished_at, now()) - b.started_at) * 1000)::float8 as elapsed_ms,
      state_name(coalesce(s.word_0, 0), coalesce(s.word_1, 0), coalesce(s.word_2, 0), coalesce(s.word_3, 0)) as state
    from batches b
    cross join lateral (
      select coalesce(sum(created_count), 0)::int as created_count, coalesce(sum(failed_count), 0)::int as failed_count,
        count(*)::int as chunk_count, nullif(max(memory_bytes), 0)::float8 as peak_memory_bytes
      from chunks where pool_id = b.pool_id and batch_id = b.id and kind = 'users'
    ) c
    left join scopes s
      on s.pool_id = b.pool_id and s.batch_id = b.id and s.batch_id <> ${ANY_BATCH} and s.test_users_only and not s.bulk_users_only
    where b.pool_id = ${poolId} and ${condition}
    order by b.id desc limit ${limit}`
  return rows.map(withProgress)
}

/** Figures that follow from the counts: `progress` from 0 to 1, users a second since the start, seconds to go. */
function withProgress({ elapsed_ms, peak_memory_bytes, chunk_count, ...row }: BatchRow): Batch {
  const done = row.created_count + row.failed_count
  const perSecond = elapsed_ms && elapsed_ms > 0 ? (done * 1000) / elapsed_ms : null
  const running = row.finished_at === null
  return {
    ...row,
    progress: Math.round((done / row.total_requested) * 10_000) / 10_000,
    throughput_per_second: perSecond && Math.round(perSecond),
    eta_seconds: running && perSecond ? Math.ceil((row.total_requested - done) / perSecond) : null,
    profile: {
      duration_ms: elapsed_ms && Math.round(elapsed_ms),
      peak_memory_bytes,
      chunks: chunk_count,
      workers: row.config.max_workers,
    },
  }
}

/**
 * Deletes the batch's test users; an unfinished batch is cancelled first, and chunks in work are waited for. Users who are
 * not test users stay and are counted as protected. May be repeated. Throws `batch_not_found`.
 */
export function deleteBatch(sql: Sql, poolId: number, id: string): Promise<{ deleted: number; protected: number }> {
  return sql.begin(async (tx) => {
    const [batch] = await tx`select from batches where pool_id = ${poolId} and id = ${id} for update`
    if (!batch) throw notFound()
    await tx`
      update batches set status = 'cancelled', finished_at = now()
      where pool_id = ${poolId} and id = ${id} and status in ('queued', 'running')`
    const { count } = await tx`delete from users where pool_id = ${poolId} and batch_id = ${id} and is_test_user`
    const [kept] = await tx<{ count: number }[]>`
      select count(*)::int as count from users where pool_id = ${poolId} and batch_id = ${id}`
    return { deleted: count, protected: kept?.count ?? 0 }
  })
}
