import { createHmac, timingSafeEqual } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type TSchema, Type } from 'typebox'
import type { Page } from '../database/page.ts'
import { Problem } from '../errors.ts'
import { deriveKey } from '../secrets/encryption.ts'
import { Nullable } from './schemas.ts'

/** Creates and reads the cursors of all listings. */
export interface Cursors {
  /** Returns a cursor that continues `listing` after `last`. Clients treat it as opaque and send it back unchanged. */
  encode(listing: string, last: string): string
  /** Returns where the previous page ended; undefined on the first page. Throws `cursor_invalid`. */
  decode(listing: string, cursor: string | undefined): string | undefined
}

/** Half of a SHA-256: too long to guess, and short enough for a URL. */
const SIGNATURE_BYTES = 16

/**
 * Cursors are signed, so a forged cursor, or one of another listing (pool, filter, sort), is rejected before it is parsed. The key
 * derives from the service's encryption key: all replicas of the service share it, and cursors survive a restart.
 */
export function createCursors(encryptionKey: Buffer): Cursors {
  const key = deriveKey(encryptionKey, 'cursor')

  const encode = (listing: string, last: string) => {
    const signed = JSON.stringify([listing, last]) // unambiguous boundary between the two texts
    const signature = createHmac('sha256', key).update(signed).digest().subarray(0, SIGNATURE_BYTES)
    return Buffer.concat([signature, Buffer.from(last)]).toString('base64url')
  }

  return {
    encode,
    decode(listing, cursor) {
      if (cursor === undefined) return undefined
      const last = Buffer.from(cursor, 'base64url').subarray(SIGNATURE_BYTES).toString()
      // Encodes again and compares the whole: this also rejects a non-canonical base64 spelling.
      if (!isSame(encode(listing, last), cursor)) {
        throw new Problem(
          'cursor_invalid',
          'Take the cursor unchanged from next_cursor, or from the Link header, of the same listing.',
        )
      }
      return last
    },
  }
}

/** Compares in constant time, so that the timing reveals nothing about a forged cursor. */
function isSame(expected: string, given: string): boolean {
  const [a, b] = [Buffer.from(expected), Buffer.from(given)]
  return a.length === b.length && timingSafeEqual(a, b)
}

/** The query parameters of every listing. */
export const pageParams = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  cursor: Type.Optional(Type.String({ description: '`next_cursor` of the previous page' })),
}

/** The response of every listing; see makePage. */
export const pageOf = <Item extends TSchema>(item: Item) =>
  Type.Object({ items: Type.Array(item), next_cursor: Nullable(Type.String()) })

interface PageContext {
  request: FastifyRequest
  reply: FastifyReply
  cursors: Cursors
  listing: string
}

/** Returns one page of a listing. Sets the `Link` header (RFC 8288) to the next page; `next_cursor` of the last page is null. */
export function makePage<Item>(
  { request, reply, cursors, listing }: PageContext,
  { rows: items, hasMore }: Page<Item>,
  keyOf: (item: Item) => string,
): { items: Item[]; next_cursor: string | null } {
  const last = hasMore ? items.at(-1) : undefined
  if (last === undefined) return { items, next_cursor: null }
  const cursor = cursors.encode(listing, keyOf(last))
  setNextLink(request, reply, 'cursor', cursor)
  return { items, next_cursor: cursor }
}

/** Sets the `Link` header (RFC 8288) to the request's own URL with another cursor in the query parameter `name`. */
export function setNextLink(request: FastifyRequest, reply: FastifyReply, name: string, cursor: string): void {
  const next = new URL(request.url, 'http://localhost')
  next.searchParams.set(name, cursor)
  reply.header('link', `<${next.pathname}${next.search}>; rel="next"`)
}
