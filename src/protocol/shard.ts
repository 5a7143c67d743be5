import type { Fragment, Sql } from 'postgres'
import { Type } from 'typebox'
import { Problem } from '../errors.ts'

/** A fixed part of the users, by their ids: the part `index` of `count`. */
export interface Shard {
  index: number
  count: number
}

export const ShardText = Type.String({
  pattern: '^\\d{1,4}/\\d{1,4}$',
  description: '`i/n`, i from 0 to n-1: a fixed part by user id; the n parts together are all users, none twice',
})

/** Reads `i/n`. Throws `invalid_request` where i is not one of 0 to n-1. */
export function parseShard(text: string): Shard {
  const [index = 0, count = 0] = text.split('/').map(Number)
  if (index < count) return { index, count }
  const message = count === 0 ? 'needs at least one part' : `knows the parts 0/${count} to ${count - 1}/${count}`
  throw new Problem('invalid_request', `querystring.shard ${message}`, {
    errors: [{ path: 'querystring.shard', code: 'shard', message }],
  })
}

/**
 * That a user id is in the shard. The hash is PostgreSQL's own of a uuid, on which its hash partitions rest, so that it is
 * the same in every version; the ids of a batch follow one another, and would make uneven parts by themselves.
 */
export function isInShard(sql: Sql, shard: Shard | undefined, userId: Fragment): Fragment {
  if (!shard) return sql`true`
  return sql`(uuid_hash_extended(${userId}, 0) & 9223372036854775807) % ${shard.count}::bigint = ${shard.index}::bigint`
}
