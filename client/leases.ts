import type { Connection } from './connection.ts'
import type { components, operations } from './description.ts'
import { Lease, type LeaseTerms } from './lease.ts'
import type { CallOptions } from './operation-types.ts'
import { itemsOf } from './pages.ts'
import type { Request } from './request.ts'

export type NewLease = components['schemas']['NewLease']

interface TakeOptions extends CallOptions {
  /** A repetition with the same key and body returns the same lease. Default: random. */
  idempotencyKey?: string
}

const DEFAULT_TTL_SECONDS = 60

/** Users that nobody else has. */
export class Leases {
  readonly #connection: Connection
  readonly #request: Request

  constructor(connection: Connection, request: Request) {
    this.#connection = connection
    this.#request = request
  }

  /**
   * Takes users and renews the lease until they are returned. Throws UsersyncError `users_exhausted` if too few are free, after
   * `wait_seconds`, and `lease_lost` if the lease is over, such as that of an earlier call with the same key. With `await using`, they are returned at the end
   * of the block.
   */
  async take(body: NewLease = {}, { idempotencyKey, ...options }: TakeOptions = {}): Promise<Lease> {
    const { ttl_seconds = DEFAULT_TTL_SECONDS, wait_seconds = 0 } = body
    const begun = performance.now()
    const granted = await this.#request('createLease', {
      ...options,
      timeoutMs: (options.timeoutMs ?? this.#connection.timeoutMs) + wait_seconds * 1000,
      ...(idempotencyKey !== undefined && { headers: { 'idempotency-key': idempotencyKey } }),
      body: { ttl_seconds, ...body },
    })
    let expires = begun + ttl_seconds * 1000
    // With a key of the caller, it may be the lease of an earlier call, which began before this one. And the request may have waited for
    // users longer than the ttl. Only the service knows when such a lease ends.
    if (idempotencyKey !== undefined || performance.now() >= expires) {
      expires = performance.now() + ttl_seconds * 1000
      const query = body.pool !== undefined && { query: { pool: body.pool } }
      const renewal = { fence: granted.fence, ttl_seconds }
      await this.#request('renewLease', { ...options, path: { id: granted.id }, ...query, body: renewal })
    }
    const terms: LeaseTerms = { ttlSeconds: ttl_seconds, expires, pool: body.pool }
    return new Lease(this.#request, granted, terms)
  }

  /** How many users are free, leased, dirty and consumed. */
  stats(query: operations['getLeaseStats']['parameters']['query'] = {}, options: CallOptions = {}) {
    return this.#request('getLeaseStats', { ...options, query })
  }

  /** Leases, newest first. */
  list(query: operations['listLeases']['parameters']['query'] = {}, options: CallOptions = {}) {
    return itemsOf((cursor) => this.#request('listLeases', { ...options, query: { limit: 1000, ...query, ...cursor } }))
  }

  /** Makes dirty and consumed users free again. */
  reset(
    body: NonNullable<operations['resetUsers']['requestBody']>['content']['application/json'] = {},
    options: CallOptions = {},
  ) {
    return this.#request('resetUsers', { ...options, body })
  }
}
