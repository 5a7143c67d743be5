import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Page } from '../database/page.ts'
import { Problem } from '../errors.ts'

/** Makes and reads the cursors of all listings. */
export interface Cursors {
  /** The cursor that leads on from where a page of `listing` ended. Opaque to clients, and theirs to hand back unchanged. */
  encode(listing: string, last: string): string
  /** Where the page before ended; undefined on the first page. Throws `cursor_invalid`. */
  decode(listing: string, cursor: string | undefined): string | undefined
}

/** Half of SHA-256: too long to be guessed, and short enough for an address. */
const SIGNATURE_BYTES = 16

/**
 * Cursors are signed, so that one which was not given for this very listing (pool, filter, sort) is refused before anything
 * reads it. The key is made from the service's encryption key: replicas agree, and a restart leaves cursors valid.
 */
export function createCursors(encryptionKey: Buffer): Cursors {
  const key = Buffer.from(hkdfSync('sha256', encryptionKey, '', 'usersync cursor', 32))

  const encode = (listing: string, last: string) => {
    const signed = JSON.stringify([listing, last]) // so that no text can end where the other begins
    const signature = createHmac('sha256', key).update(signed).digest().subarray(0, SIGNATURE_BYTES)
    return Buffer.concat([signature, Buffer.from(last)]).toString('base64url')
  }

  return {
    encode,
    decode(listing, cursor) {
      if (cursor === undefined) return undefined
      const last = Buffer.from(cursor, 'base64url').subarray(SIGNATURE_BYTES).toString()
      // Made anew and compared as a whole: base64 that is spelt in another way is refused too.
      if (!isSame(encode(listing, last), cursor)) {
        throw new Problem('cursor_invalid', 'Take the cursor from next_cursor of the same listing, unchanged.')
      }
      return last
    },
  }
}

/** Compares in a time that does not tell how much of a forged cursor is right. */
function isSame(expected: string, given: string): boolean {
  const [a, b] = [Buffer.from(expected), Buffer.from(given)]
  return a.length === b.length && timingSafeEqual(a, b)
}

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
