import type { Fragment, Sql } from 'postgres'
import { ANY_BATCH, isScope, selectsInPool } from '../states/filter.ts'
import type { Delta } from './answer.ts'
import { fetchLines } from './fetch-lines.ts'
import { isSelectedInPool, type LineRow, type Selection } from './lines.ts'

/** Ids are short, and each fetch is a round trip. */
const IDS_A_FETCH = 5_000

/**
 * The delta from the version of a base on. Its SQL rests on three facts that the triggers of the state capture
 * keep (migrations/0002_state_capture.sql):
 *
 * - a user's row has the commit that last wrote it, and the commit since which it has been in its part of the pool;
 * - a tombstone is an ended stay in a part, with the commits that began and ended it;
 * - a commit that touched the scope after the base is among the scope's states with a later version.
 *
 * So a user was in the base if a stay that began before the base still lasts, or ended after it. The query reads only
 * what later commits touched, commit by commit through the indexes by commit id. The cost depends on what changed, not
 * on the size of the pool.
 */
export function readDelta(sql: Sql, selection: Selection, baseVersion: string): Delta {
  const { filter, form, isDeltaById } = selection
  // Every look-up of single rows compares `pool_id` with the row that it is for, not with a constant. For a constant
  // pool without statistics the planner expects one row, considers all indexes that begin with the pool equal, and may
  // read the whole pool for each row (16 s for 9,000 deletions). `offset 0` prevents it from joining or hashing whole
  // tables.
  // `batch_id` is compared as text, which no index serves. Otherwise the key by version looks as good as the key by commit to a
  // planner without statistics, and each look-up reads all versions of the scope (128 rows each, in a test).
  const isLater = (rows: 'u' | 't', commit: 'entered_commit_id' | 'left_commit_id') => sql`coalesce((
    select e.version from states e
    where e.pool_id = ${sql(rows)}.pool_id and e.commit_id = ${sql(rows)}.${sql(commit)}
      and e.batch_id::text = ${filter.batchId ?? ANY_BATCH} and e.test_users_only = ${filter.testUsersOnly}
      and e.bulk_users_only = ${filter.bulkUsersOnly}
  ) > ${baseVersion}, false)`
  const laterCommits = sql`(
    select e.pool_id, e.commit_id, e.version from states e
    where ${isScope(sql, filter, 'e')} and e.version > ${baseVersion} order by e.version offset 0
  ) e`
  const changedUsers = sql`
    ${laterCommits} cross join lateral (
      select * from users u
      where u.pool_id = e.pool_id and u.commit_id = e.commit_id ${isSelectedInPool(sql, selection, 'u')} offset 0
    ) u`
  const endedStays = sql`
    ${laterCommits} cross join lateral (
      select * from tombstones t
      where t.pool_id = e.pool_id and t.left_commit_id = e.commit_id ${isSelectedInPool(sql, selection, 't')} offset 0
    ) t`

  const wasInBase = sql`(
    not ${isLater('u', 'entered_commit_id')}
    or exists (
      select from tombstones t
      where t.pool_id = u.pool_id and t.user_id = u.id ${selectsInPool(sql, filter, 't')}
        and ${isLater('t', 'left_commit_id')} and not ${isLater('t', 'entered_commit_id')} offset 0
    )
  )`
  const isGone = sql`
    not ${isLater('t', 'entered_commit_id')}
    and not exists (
      select from users u where u.pool_id = t.pool_id and u.id = t.user_id ${selectsInPool(sql, filter, 'u')} offset 0
    )`

  const lines = (condition: Fragment) =>
    texts(
      fetchLines(sql<LineRow[]>`
        select ${form.columns(sql)} from ${changedUsers} ${form.joins(sql)} where ${condition}
        order by ${isDeltaById ? sql`u.id` : sql`e.version`}`),
      form.text,
    )

  return {
    async counts() {
      const [row] = await sql<{ added: number; updated: number; deleted: number }[]>`
        select c.added, c.updated, d.deleted
        from (
          select count(*) filter (where not w.was_in_base)::float8 as added, count(*) filter (where w.was_in_base)::float8 as updated
          from (select ${wasInBase} as was_in_base from ${changedUsers}) w
        ) c,
        (select count(*)::float8 as deleted from ${endedStays} where ${isGone}) d`
      return row ?? { added: 0, updated: 0, deleted: 0 }
    },
    deletedIds: () =>
      texts(
        sql<
          { user_id: string }[]
        >`select t.user_id from ${endedStays} where ${isGone} ${isDeltaById ? sql`order by t.user_id` : sql``}`.cursor(
          IDS_A_FETCH,
        ),
        ({ user_id }) => user_id,
      ),
    addedLines: () => lines(sql`not ${wasInBase}`),
    updatedLines: () => lines(wasInBase),
  }
}

/** Returns the texts of the rows, one fetch of a cursor at a time. */
async function* texts<Row>(
  fetches: AsyncIterable<Row[]>,
  text: (row: Row) => string,
): AsyncGenerator<string[], void, void> {
  for await (const rows of fetches) if (rows.length > 0) yield rows.map(text)
}
