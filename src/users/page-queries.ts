import type { Fragment, ISql, PendingQuery } from 'postgres'
import { type Filter, selects, selectsInPool, userLine } from '../states/filter.ts'
import type { Mark, Sort, SortKey } from './sort.ts'

/** A page of users: those that the filter selects, in the order of `sort`, after `after`, at most `limit` of them. */
export interface UserPage {
  filter: Filter
  sort: Sort
  after: Mark | undefined
  limit: number
}

type Lines = PendingQuery<{ line: string }[]>

/** Reads along the index of the sort, from where the page before ended, past the users that the filter does not select. */
export function walkPool(sql: ISql, page: UserPage): Lines {
  const { filter } = page
  return readRanges(sql, page, {
    rows: sql`users u where ${selects(sql, filter, 'u')}`,
    tied: sql`users u where u.pool_id = any(${[filter.poolId]}::int[]) ${selectsInPool(sql, filter, 'u')}`,
  })
}

/** Reads all users of the batch along its index, and sorts them. */
export function sortBatch(sql: ISql, page: UserPage, batchId: string): Lines {
  const others = selects(sql, { ...page.filter, batchId: undefined }, 'u')
  return sql`
    with batch as materialized (
      select u.* from users u where ${others} and u.batch_id >= ${batchId} and u.batch_id <= ${batchId}
      order by u.batch_id, u.id
    )
    ${readRanges(sql, page, { rows: sql`batch u where true`, tied: sql`batch u where true` })}`
}

/**
 * Reads along the batch's index in the order of ids. Here as above the batch is a range, and part of the order: were it a
 * plain `batch_id = …`, the primary key would give that order as well, and a page could walk the whole pool for a few users.
 */
export function walkBatch(sql: ISql, { filter, sort, after, limit }: UserPage, batchId: string): Lines {
  const [beyond, upTo, way] = sort.keys[0].descending
    ? [sql`<`, sql`u.batch_id >= ${batchId}`, sql`desc`]
    : [sql`>`, sql`u.batch_id <= ${batchId}`, sql`asc`]
  // No second bound at this end: an index scan may begin at the worse of two.
  const from = after
    ? sql`(u.batch_id, u.id) ${beyond} (${batchId}, ${after.id})`
    : sql`u.batch_id ${beyond}= ${batchId}`
  return sql`
    select ${userLine(sql, 'u')} as line from users u
    where ${selects(sql, { ...filter, batchId: undefined }, 'u')} and ${from} and ${upTo}
    order by u.batch_id ${way}, u.id ${way} limit ${limit}`
}

/**
 * The first `limit` of the rows after the mark. What comes after two keys of opposite directions is no one range of an index,
 * but two: the rest of those equal in the first key, and all beyond it. (`a > x or a = x and b < y` would be read from the
 * beginning of the index on each page.)
 *
 * The first of the two is read from `tied`. The second key alone is its order, which the unique index of that key gives as
 * well, at the cost of the whole pool. So `tied` names its pool in a way that leaves it in the order, and pool and second
 * key in opposite directions are what only the index of both keys gives.
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
