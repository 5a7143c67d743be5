import type { Fragment, ISql, PendingQuery, Sql } from 'postgres'
import { type Page, readPage } from '../database/page.ts'
import { type Filter, isScope, selects, selectsInPool, userLine } from '../states/filter.ts'
import type { Mark, Sort, SortKey } from './sort.ts'

/** A page of users: at most `limit` users that the filter selects, in the order of `sort`, after `after`. */
export interface UserPage {
  filter: Filter
  sort: Sort
  after: Mark | undefined
  limit: number
}

type Lines = PendingQuery<{ line: string }[]>

/** Returns the lines of one page of users. */
export async function listUserLines(sql: Sql, page: UserPage): Promise<Page<string>> {
  const query = await choosePageQuery(sql, page)
  const { rows, hasMore } = await readPage(sql, page.limit, (sql, limit) => query(sql, limit))
  return { rows: rows.map(({ line }) => line), hasMore }
}

/**
 * Maximum size of a batch that is read as a whole and sorted for each page, unless the order is by id. For a larger
 * batch the query walks the index of the sort and skips users of other batches.
 *
 * In a pool of 1,000,000 users, sorting costs 8 to 22 ms a page for a batch of 10,000 and 52 to 84 ms for 40,000. A
 * walk costs up to 1 s for the first page, but reads each user of the pool once for all pages together, while sorting
 * reads the whole batch for each page. At 10,000 both cost the same over all pages.
 */
const MAX_SORTED_USERS = 10_000

/**
 * Chooses the query with the lowest worst-case cost. The choice rests on the recorded size of the batch, not on
 * statistics.
 */
export async function choosePageQuery(sql: Sql, page: UserPage): Promise<(sql: ISql, limit: number) => Lines> {
  const { filter, sort } = page
  const { batchId } = filter
  if (batchId === undefined) return (sql, limit) => walkPool(sql, { ...page, limit })
  if (sort.keys[0].column === 'id') return (sql, limit) => walkBatch(sql, { ...page, limit }, batchId)
  const isSmall = (await countUsers(sql, filter)) <= MAX_SORTED_USERS
  return (sql, limit) => (isSmall ? sortBatch(sql, { ...page, limit }, batchId) : walkPool(sql, { ...page, limit }))
}

/** Returns the number of users in the batch, without the other parts of the filter. Reads no user. */
async function countUsers(sql: Sql, filter: Filter): Promise<number> {
  const all = { ...filter, testUsersOnly: false, bulkUsersOnly: false }
  const [row] = await sql<{ count: number }[]>`
    select s.user_count::float8 as count from scopes s where ${isScope(sql, all, 's')}`
  return row?.count ?? 0
}

/** Walks the index of the sort from the end of the previous page, and skips users that the filter does not select. */
export function walkPool(sql: ISql, page: UserPage): Lines {
  const { filter } = page
  return readRanges(sql, page, {
    rows: sql`users u where ${selects(sql, filter, 'u')}`,
    tied: sql`users u where u.pool_id = any(${[filter.poolId]}::int[]) ${selectsInPool(sql, filter, 'u')}`,
  })
}

/** Reads all users of the batch through its index and sorts them. */
function sortBatch(sql: ISql, page: UserPage, batchId: string): Lines {
  const others = selects(sql, { ...page.filter, batchId: undefined }, 'u')
  return sql`
    with batch as materialized (
      select u.* from users u where ${others} and u.batch_id >= ${batchId} and u.batch_id <= ${batchId}
      order by u.batch_id, u.id
    )
    ${readRanges(sql, page, { rows: sql`batch u where true`, tied: sql`batch u where true` })}`
}

/**
 * Walks the batch's index in the order of ids. Here and above the batch is a range and part of the order. With a plain
 * `batch_id = …` the planner could take the primary key, which has the same order, and walk the whole pool for a few
 * users.
 */
function walkBatch(sql: ISql, { filter, sort, after, limit }: UserPage, batchId: string): Lines {
  const [beyond, upTo, way] = sort.keys[0].descending
    ? [sql`<`, sql`u.batch_id >= ${batchId}`, sql`desc`]
    : [sql`>`, sql`u.batch_id <= ${batchId}`, sql`asc`]
  // No second bound at this end: an index scan may start at the worse of two.
  const from = after
    ? sql`(u.batch_id, u.id) ${beyond} (${batchId}, ${after.id})`
    : sql`u.batch_id ${beyond}= ${batchId}`
  return sql`
    select ${userLine(sql, 'u')} as line from users u
    where ${selects(sql, { ...filter, batchId: undefined }, 'u')} and ${from} and ${upTo}
    order by u.batch_id ${way}, u.id ${way} limit ${limit}`
}

/**
 * Returns the first `limit` rows after the mark. With two keys of opposite directions these rows are not one range of
 * an index but two: the rest of the rows that are equal in the first key, and all rows beyond it. PostgreSQL would read
 * `a > x or a = x and b < y` from the start of the index on each page.
 *
 * The first range is read from `tied`. Its order is the second key alone, and the unique index of that key has the same
 * order, at the cost of the whole pool. So `tied` names its pool in a form that keeps the pool in the order. Then only
 * the index of both keys has the order: the pool and the second key in opposite directions.
 */
function readRanges(sql: ISql, page: UserPage, { rows, tied }: Record<'rows' | 'tied', Fragment>): Lines {
  const { sort, after, limit } = page
  const [first, second] = sort.keys
  const column = (key: SortKey) => sql(`u.${key.column}`)
  const way = (key: SortKey) => (key.descending ? sql`desc` : sql`asc`)
  const by = (key: SortKey) => sql`${column(key)} ${way(key)}`
  const beyond = (key: SortKey, { [key.column]: value }: Mark) =>
    key.descending ? sql`${column(key)} < ${value}` : sql`${column(key)} > ${value}`
  const range = (from: Fragment, condition: Fragment, order: Fragment) =>
    sql`(select u.* from ${from} and ${condition} order by ${order} limit ${limit})`

  const order = second ? sql`${by(first)}, ${by(second)}` : by(first)
  const ranges = [range(rows, after ? beyond(first, after) : sql`true`, order)]
  if (after && second) {
    const condition = sql`${column(first)} = ${after[first.column]} and ${beyond(second, after)}`
    ranges.unshift(range(tied, condition, sql`u.pool_id ${way(first)}, ${by(second)}`), sql`union all`)
  }
  return sql`select ${userLine(sql, 'u')} as line from (${ranges}) u order by ${order} limit ${limit}`
}
