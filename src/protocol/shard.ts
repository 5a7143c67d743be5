import type { Fragment, Sql } from 'postgres'
import { Type } from 'typebox'
import { Problem } from '../errors.ts'

/** A fixed part of the users, by id: part `index` of `count`. */
export interface Shard {
  index: number
  count: number
}

export const ShardText = Type.String({
  pattern: '^\\d{1,4}/\\d{1,4}$',
  description: '`i/n`, i from 0 to n-1: a fixed part by user id; the n parts together are all users, none twice',
})

/** Parses `i/n`. Throws `invalid_request` unless i is from 0 to n-1. */
export function parseShard(text: string): Shard {
  const [index = 0, count = 0] = text.split('/').map(Number)
  if (index < count) return { index, count }
  const message = count === 0 ? 'must have at least one part' : `must be from 0/${count} to ${count - 1}/${count}`
  throw new Problem('invalid_request', `querystring.shard ${message}`, {
    errors: [{ path: 'querystring.shard', code: 'shard', message }],
  })
}

/**
 * Whether a user id is in the shard. Uses PostgreSQL's own hash of a uuid: hash partitions depend on it, so it is the same in every
 * version. The ids of a batch are consecutive, and would make uneven parts without a hash.
 */
export function isInShard(sql: Sql, shard: Shard | undefined, userId: Fragment): Fragment {
  if (!shard) return sql`true`
  return sql`(uuid_hash_extended(${userId}, 0) & 9223372036854775807) % ${shard.count}::bigint = ${shard.index}::bigint`
}
