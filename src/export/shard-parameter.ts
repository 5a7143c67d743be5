import { Type } from 'typebox'
import { Problem } from '../errors.ts'
import type { Shard } from '../protocol/shard.ts'

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
