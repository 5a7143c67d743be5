import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { Problem } from '../errors.ts'

/** The query members of every listing. */
export const pageMembers = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  cursor: Type.Optional(Type.String({ maxLength: 1000, description: '`next_cursor` of the page before' })),
}

/**
 * A cursor is where a page ended and of which listing it was, so that a cursor of another pool or filter is refused.
 * It is opaque to clients: base64url of a JSON pair.
 */
export function encodeCursor(listing: string, last: string): string {
  return Buffer.from(JSON.stringify([listing, last])).toString('base64url')
}

/** The key that the page before ended with, undefined on the first page. Throws `cursor_invalid`. */
export function decodeCursor(listing: string, cursor: string | undefined, keyPattern: RegExp): string | undefined {
  if (cursor === undefined) return undefined
  const invalid = () =>
    new Problem('cursor_invalid', 'Take the cursor from next_cursor of the same listing, unchanged.')
  let pair: unknown
  try {
    pair = JSON.parse(Buffer.from(cursor, 'base64url').toString())
  } catch {
    throw invalid()
  }
  if (!Array.isArray(pair) || pair.length !== 2) throw invalid()
  const last: unknown = pair[1]
  if (typeof last !== 'string' || !keyPattern.test(last)) throw invalid()
  if (encodeCursor(listing, last) !== cursor) throw invalid()
  return last
}

/**
 * The page of a listing, from what was read of it: one more than `limit`, which only tells that there is more. Sets the
 * `Link` header (RFC 8288) to the next page; null is the cursor of the last.
 */
export function makePage<Item>(
  { request, reply, listing }: { request: FastifyRequest; reply: FastifyReply; listing: string },
  rows: Item[],
  limit: number,
  keyOf: (item: Item) => string,
): { items: Item[]; next_cursor: string | null } {
  const last = rows.length > limit ? rows[limit - 1] : undefined
  if (last === undefined) return { items: rows, next_cursor: null }
  const cursor = encodeCursor(listing, keyOf(last))
  const next = new URL(request.url, 'http://localhost')
  next.searchParams.set('cursor', cursor)
  reply.header('link', `<${next.pathname}${next.search}>; rel="next"`)
  return { items: rows.slice(0, limit), next_cursor: cursor }
}
