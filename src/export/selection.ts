import type { Fragment, Sql } from 'postgres'
import { type Filter, selectsInPool } from '../users/filter.ts'
import type { LineForm } from './line-form.ts'
import { isInShard, type Shard } from './shard.ts'

/** Which users an export tells, and how it writes each. */
export interface Selection {
  filter: Filter
  /** A part of the filter's users; states and bases stay those of the whole filter. */
  shard: Shard | undefined
  form: LineForm
}

/** That a row of `users u` is told. */
export function isTold(sql: Sql, selection: Selection): Fragment {
  return sql`u.pool_id = ${selection.filter.poolId} ${tellsInPool(sql, selection, 'u')}`
}

/** The same but for the pool, also of `tombstones t`: further conditions, each with `and` before it. */
export function tellsInPool(sql: Sql, { filter, shard }: Selection, alias: 'u' | 't'): Fragment {
  const userId = alias === 'u' ? sql`u.id` : sql`t.user_id`
  return sql`${selectsInPool(sql, filter, alias)} ${shard ? sql`and ${isInShard(sql, shard, userId)}` : sql``}`
}
