import fc, { type Arbitrary } from 'fast-check'
import type { FuzzedRequest, Operation } from './fuzzed-request.ts'
import { type Known, SECRETS } from './known.ts'

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** Valid listing requests, except that the cursor is from another listing or has one character changed. */
export function forgedCursor(operations: Operation[], { listings }: Known): Arbitrary<FuzzedRequest> {
  const listing = fc.constantFrom(...listings)
  const altered = fc
    .tuple(listing, fc.nat(), fc.integer({ min: 1, max: 63 }))
    .map(([{ path, query, cursor }, at, by]) => {
      const place = at % cursor.length
      const other = ALPHABET[(ALPHABET.indexOf(cursor.charAt(place)) + by) % ALPHABET.length]
      return { path, query, cursor: cursor.slice(0, place) + other + cursor.slice(place + 1) }
    })
  const foreign = fc
    .tuple(listing, listing)
    .filter(([one, other]) => one !== other)
    .map(([{ path, query }, { cursor }]) => ({ path, query, cursor }))
  return fc.oneof(altered, foreign).map(({ path, query, cursor }) => ({
    operation: operations.find((operation) => operation.path === path && operation.method === 'GET') as Operation,
    method: 'GET',
    target: `${path}?${query}&cursor=${cursor}`,
    headers: { authorization: `Bearer ${SECRETS.adminKey}` },
    body: undefined,
    isForged: true,
  }))
}
