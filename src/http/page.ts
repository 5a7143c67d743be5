import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Page } from '../database/page.ts'
import type { Cursors } from './cursor.ts'

/** The query members of every listing. */
export const pageMembers = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  cursor: Type.Optional(Type.String({ description: '`next_cursor` of the page before' })),
}

interface PageContext {
  request: FastifyRequest
  reply: FastifyReply
  cursors: Cursors
  listing: string
}

/** The answer of a listing. Sets the `Link` header (RFC 8288) to the next page; the cursor of the last page is null. */
export function makePage<Item>(
  { request, reply, cursors, listing }: PageContext,
  { rows: items, hasMore }: Page<Item>,
  keyOf: (item: Item) => string,
): { items: Item[]; next_cursor: string | null } {
  const last = hasMore ? items.at(-1) : undefined
  if (last === undefined) return { items, next_cursor: null }
  const cursor = cursors.encode(listing, keyOf(last))
  const next = new URL(request.url, 'http://localhost')
  next.searchParams.set('cursor', cursor)
  reply.header('link', `<${next.pathname}${next.search}>; rel="next"`)
  return { items, next_cursor: cursor }
}
