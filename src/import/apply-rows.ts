import type { Fragment, ISql } from 'postgres'
import type { OnConflict } from '../batches/batch-schema.ts'
import type { Failure } from '../batches/failures.ts'
import { Problem } from '../errors.ts'
import { importConflict } from './problems.ts'
import type { Target } from './stage-rows.ts'

/** Numbers of rows by result. Their sum is the number of rows. */
export interface Counts {
  created: number
  updated: number
  /** The user already equals the row, or `on_conflict=skip` leaves the row out. */
  skipped: number
  failed: number
}

/**
 * The results of the staged rows. A row that `on_conflict=skip` leaves out counts as skipped, and is listed like a
 * failure.
 */
export interface Applied extends Counts {
  notTaken: Failure[]
}

/** Rows that change the same users are applied one by one. This bounds the time that their locks are held. */
const APPLY_TIMEOUT_MS = 300_000

/**
 * Applies the staged rows to the pool, with the same result as one by one in order. Stores the first `keep` failures.
 * Throws `import_conflict` if `on_conflict` is `fail` and a row's id, username or email is taken, and `body_too_large`.
 */
export async function applyRows(
  session: ISql,
  target: Target,
  onConflict: OnConflict,
  pageEnds: number[],
  keep: number,
): Promise<Applied> {
  const applied: Applied = { created: 0, updated: 0, skipped: 0, failed: 0, notTaken: [] }
  const deadline = performance.now() + APPLY_TIMEOUT_MS
  let next = 1
  let size = Number.POSITIVE_INFINITY
  for (const end of pageEnds) {
    while (next <= end) {
      if (performance.now() > deadline) throw tooEntangled()
      const wanted = { first: next, last: Math.min(end, next + size - 1) }
      const page = onConflict === 'update' ? await independentRows(session, wanted) : wanted
      // If rows depend on each other, looking far ahead would be wasted each time.
      size = 2 * (page.last - page.first + 1)
      const notTaken = await applyPage(session, target, onConflict, page, applied)
      applied.notTaken.push(...notTaken.slice(0, keep - applied.notTaken.length))
      next = page.last + 1
    }
  }
  return applied
}

async function applyPage(session: ISql, target: Target, onConflict: OnConflict, page: Page, counts: Counts) {
  const judged = onConflict === 'update' ? await updateRows(session, page) : []
  const refused = judged.filter((row): row is typeof row & Failure => row.code !== null)
  const changed = judged.filter((row) => row.changed).length
  counts.updated += changed
  counts.skipped += judged.length - refused.length - changed

  const found = judged.map(({ n }) => n)
  const { missing, left } = await insertRows(session, target, page, found)
  const conflicts = left.length === 0 ? [] : await findConflicts(session, page, left)
  if (onConflict === 'fail' && conflicts[0]) throw importConflict(conflicts[0])
  counts.created += missing - conflicts.length
  counts.failed += refused.length
  counts[onConflict === 'skip' ? 'skipped' : 'failed'] += conflicts.length
  return [...refused, ...conflicts].sort((a, b) => a.n - b.n)
}

const tooEntangled = () =>
  new Problem(
    'body_too_large',
    `The rows change the same users so often that the import takes longer than ${APPLY_TIMEOUT_MS / 60_000} minutes. Nothing was imported. Send it in parts.`,
  )

/** The staged rows from `first` to `last`. One statement handles them. */
interface Page {
  first: number
  last: number
}

/**
 * The staged rows of a page as `p`. Statements look up users by the row's own pool, `p.pool_id`, not by a constant. For
 * a pool without statistics the planner expects one user, takes any index that begins with the pool, and reads the
 * whole pool for each row (36,000 users, 2,000 rows: 58 s instead of 0.15 s).
 */
const pageRows = (sql: ISql, { first, last }: Page): Fragment =>
  sql`(select * from staged_rows where n between ${first} and ${last}) p`

/** The users of the page's rows, by id or, for a row without one, by username. A lateral join to append to `pageRows`. */
const namedUser = (sql: ISql): Fragment => sql`
  lateral (
    select u.id, u.is_test_user, u.username, u.email from users u
    where u.pool_id = p.pool_id and p.has_id and u.id = p.id
    union all
    select u.id, u.is_test_user, u.username, u.email from users u
    where u.pool_id = p.pool_id and not p.has_id and u.username = p.username
  ) named`

/**
 * Returns the longest start of a page whose rows are independent: no two share an id, username or email, neither with
 * each other nor with a user that the other one changes. For such rows one statement has the same effect as one
 * statement for each row in order. Never empty.
 */
export async function independentRows(session: ISql, page: Page): Promise<Page> {
  const [row] = await session<{ dependent: number | null }[]>`
    with touched as materialized (
      select p.n, keys.key from ${pageRows(session, page)}
      cross join lateral (
        values (case when p.has_id then 'i' || p.id end), ('u' || p.username), ('e' || p.email)
      ) keys (key)
      union all
      select p.n, keys.key from ${pageRows(session, page)}
      cross join ${namedUser(session)}
      cross join lateral (values ('i' || named.id), ('u' || named.username), ('e' || named.email)) keys (key)
    ), shared as materialized (
      select key, min(n) as first from touched where key is not null group by key having min(n) < max(n)
    )
    select min(t.n) as dependent from touched t join shared s on s.key = t.key and t.n > s.first`
  return { first: page.first, last: row?.dependent == null ? page.last : row.dependent - 1 }
}

/**
 * Inserts the rows of a page in order, in one statement. Skips the rows `found`, and rows whose id, username or email
 * is taken, also by an earlier row. Members that a row omits get the defaults of a new user. Returns the number of rows
 * to insert, and the numbers of the rows that were not inserted.
 */
async function insertRows(
  session: ISql,
  { poolId, batchId }: Target,
  page: Page,
  found: number[],
): Promise<{ missing: number; left: number[] }> {
  const [row] = await session<{ missing: number; left: number[] }[]>`
    with planned as materialized (
      select p.*, row_number() over (partition by p.id, p.username, p.email order by p.n) as copy
      from ${pageRows(session, page)}
      where p.n <> all(${found}::int[])
    ), inserted as (
      insert into users (pool_id, id, username, email, role, batch_id, created_by_bulk, custom_attributes, created_at, updated_at)
      select ${poolId}, id, username, email, coalesce(given->>'role', 'user'),
        case when given ? 'batch_id' then (given->>'batch_id')::uuid else ${batchId}::uuid end,
        coalesce((given->>'created_by_bulk')::boolean, false), coalesce(given->'custom_attributes', '{}'),
        coalesce((given->>'created_at')::timestamptz, now()), coalesce((given->>'updated_at')::timestamptz, now())
      from planned order by n
      on conflict do nothing
      returning id, username, email
    )
    select count(*)::int as missing, coalesce(array_agg(p.n) filter (where i.id is null or p.copy > 1), '{}') as left
    from planned p
    left join inserted i on i.id = p.id and i.username = p.username and i.email = p.email`
  return row ?? { missing: 0, left: [] }
}

/** Returns why rows could not be inserted, in their order. */
export async function findConflicts(session: ISql, page: Page, numbers: number[]): Promise<Failure[]> {
  return await session<Failure[]>`
    select p.n, p.username, p.email,
      case
        when exists (select from users u where u.pool_id = p.pool_id and u.id = p.id) then 'id_taken'
        when exists (select from users u where u.pool_id = p.pool_id and u.username = p.username) then 'username_taken'
        when exists (select from users u where u.pool_id = p.pool_id and u.email = p.email) then 'email_taken'
        else 'conflict' -- what was in the way is gone by now
      end as code
    from ${pageRows(session, page)} where p.n = any(${numbers}::int[]) order by p.n`
}

/** The result for a row whose user exists: a failure with its code, or null. */
type Judged = Omit<Failure, 'code'> & { code: Failure['code'] | null; changed: boolean }

/**
 * Updates the test users that the rows of an independent page name, with the given members. Skips a user that already
 * equals its row. Returns only rows whose user exists.
 *
 * Compares attributes as text, because 1.1 and 1.10 are equal numbers but different lines. For the same reason
 * `updated_at` always changes (stamp_update): otherwise the user line could change without a new time.
 *
 * Members that a row omits come from the row `u` that the update locks. Read from another one they could be those before a
 * PATCH that was committed meanwhile, and undo it.
 */
export async function updateRows(session: ISql, page: Page): Promise<Judged[]> {
  return await session<Judged[]>`
    with judged as materialized (
      select p.*, named.id as user_id, case
        when not named.is_test_user then 'user_protected'
        when exists (select from users o where o.pool_id = p.pool_id and o.username = p.username and o.id <> named.id)
          then 'username_taken'
        when p.given ? 'email'
          and exists (select from users o where o.pool_id = p.pool_id and o.email = p.email and o.id <> named.id)
          then 'email_taken'
        end as code
      from ${pageRows(session, page)} cross join ${namedUser(session)}
    ), updated as (
      update users u set
        username = coalesce(w.username, u.username), email = coalesce(w.email, u.email), role = coalesce(w.role, u.role),
        batch_id = case when w.has_batch_id then w.batch_id else u.batch_id end,
        created_by_bulk = coalesce(w.created_by_bulk, u.created_by_bulk),
        custom_attributes = coalesce(w.custom_attributes, u.custom_attributes),
        created_at = coalesce(w.created_at, u.created_at),
        updated_at = coalesce(w.updated_at, u.updated_at) -- the trigger stamp_update raises one that stays
      from (
        select j.pool_id, j.user_id as id,
          case when j.has_id then j.username end as username, -- without an id, the row has found its user by this name
          j.given->>'email' as email, j.given->>'role' as role,
          j.given ? 'batch_id' as has_batch_id, (j.given->>'batch_id')::uuid as batch_id,
          (j.given->>'created_by_bulk')::boolean as created_by_bulk, j.given->'custom_attributes' as custom_attributes,
          (j.given->>'created_at')::timestamptz as created_at, (j.given->>'updated_at')::timestamptz as updated_at
        from judged j where j.code is null
        offset 0 -- Citus refuses a cast that is not immutable in the COALESCE of an update, where the planner would put it
      ) w
      where u.pool_id = w.pool_id and u.id = w.id and u.is_test_user and (
        u.username <> w.username or u.email <> w.email or u.role <> w.role
        or (w.has_batch_id and u.batch_id is distinct from w.batch_id) or u.created_by_bulk <> w.created_by_bulk
        or u.custom_attributes::text <> w.custom_attributes::text
        or u.created_at <> w.created_at or u.updated_at <> w.updated_at
      )
      returning u.id
    )
    select j.n, j.username, j.email, j.code, x.id is not null as changed
    from judged j left join updated x on x.id = j.user_id order by j.n`
}
