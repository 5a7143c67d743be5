import type { Fragment, Sql } from 'postgres'
import { type Filter, selects } from '../users/filter.ts'
import type { LineForm } from './line-form.ts'
import { isInShard, type Shard } from './shard.ts'

/** Which users an export tells, and how it writes each. */
export interface Selection {
  filter: Filter
  /** A part of the filter's users; states and bases stay those of the whole filter. */
  shard: Shard | undefined
  form: LineForm
}

/** That a row of `users u`, or of `tombstones t`, is told. */
export function isTold(sql: Sql, { filter, shard }: Selection, alias: 'u' | 't'): Fragment {
  const userId = alias === 'u' ? sql`u.id` : sql`t.user_id`
  return shard ? sql`${selects(sql, filter, alias)} and ${isInShard(sql, shard, userId)}` : selects(sql, filter, alias)
}
