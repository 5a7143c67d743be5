import type { Fragment, Sql } from 'postgres'

/** A fixed part of the users, by id: part `index` of `count`. */
export interface Shard {
  index: number
  count: number
}

/**
 * Whether a user id is in the shard. Uses PostgreSQL's own hash of a uuid: hash partitions depend on it, so it is the same in every
 * version. The ids of a batch are consecutive, and would make uneven parts without a hash.
 */
export function isInShard(sql: Sql, shard: Shard | undefined, userId: Fragment): Fragment {
  if (!shard) return sql`true`
  return sql`${shardOf(sql, shard.count, userId)} = ${shard.index}::bigint`
}

/** The index of the shard that a user id is in, of `count` shards. */
export const shardOf = (sql: Sql, count: number, userId: Fragment): Fragment =>
  sql`(uuid_hash_extended(${userId}, 0) & 9223372036854775807) % ${count}::bigint`
