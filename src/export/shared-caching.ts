import type { FastifyReply } from 'fastify'
import { asksForKeys, type Config } from '../config/config.ts'

/** How long a state may be used, in seconds, and how long after that while a cache reads it again. A client is at most their sum behind. */
const STATE_MAX_AGE_SECONDS = 1
const STATE_STALE_SECONDS = 1

const A_YEAR_SECONDS = 31_536_000

/** What HTTP caches may do with a response that is the same for every client that may read it. */
export interface SharedCaching {
  /** For the current state. */
  currentState: Record<string, string>
  /** For a body that never changes (RFC 8246). */
  immutable: Record<string, string>
  /** For a body that an address does not determine, or that has logins. */
  none: Record<string, string>
}

/**
 * Without keys everybody may read everything, so any cache may store it. With keys only the client's own cache may, unless the operator has
 * set SHARED_CACHE: then a shared cache stores each response under the key that it was sent to (`Vary`), and has nothing for another key.
 */
export function sharedCaching(config: Config): SharedCaching {
  const withKeys = asksForKeys(config)
  const vary = withKeys ? 'accept-encoding, authorization' : 'accept-encoding'
  const who = withKeys && config.sharedCache === 'off' ? 'private' : 'public'
  return {
    currentState: {
      vary,
      'cache-control': `${who}, max-age=${STATE_MAX_AGE_SECONDS}, stale-while-revalidate=${STATE_STALE_SECONDS}`,
    },
    immutable: { vary, 'cache-control': `${who}, max-age=${A_YEAR_SECONDS}, immutable` },
    none: { vary, 'cache-control': 'private, no-store' },
  }
}

/** Headers that are about one request only: a cache would repeat them to others. */
const OF_ONE_REQUEST = ['ratelimit-limit', 'ratelimit-remaining', 'ratelimit-reset']

/** Sets the headers of a response that caches may store. */
export function setCaching(reply: FastifyReply, headers: Record<string, string>): FastifyReply {
  for (const name of OF_ONE_REQUEST) reply.removeHeader(name)
  return reply.headers(headers)
}
