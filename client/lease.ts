import type { components } from './description.ts'
import { UsersyncError } from './errors.ts'
import type { User } from './export.ts'
import type { CallOptions } from './operation-types.ts'
import type { Request } from './request.ts'

/** A user of a lease, with the credentials that were requested by `include`. */
export type LeasedUser = User & { totp_code?: string | null }

/** How users come back. `dirty` and `consumed`: nobody gets them before a reset. */
export type Outcome = 'clean' | 'dirty' | 'consumed'

type ReturnedUser = NonNullable<components['schemas']['LeaseReturn']['users']>[number]

export interface LeaseTerms {
  ttlSeconds: number
  /** By performance.now(). No later than the end by the clock of the database, because it counts from before the request. */
  expires: number
  pool: string | undefined
}

/** Pause between attempts to renew while the service is away. */
const RETRY_MS = 500

/**
 * Users that nobody else has, until they are returned. Renewed when a third of the ttl is over; if the service is away, again and again
 * until the ttl is over. The timer keeps no process of Node alive.
 */
export class Lease {
  readonly id: string
  /** Grows with each lease of a user: a system that keeps the highest one refuses earlier holders. */
  readonly fence: number
  readonly users: LeasedUser[]
  readonly #request: Request
  readonly #terms: LeaseTerms
  readonly #lost = new AbortController()
  #timer: ReturnType<typeof setTimeout> | undefined
  #isOver = false
  #heldCount: number
  #outcome: Outcome = 'clean'

  constructor(request: Request, granted: components['schemas']['GrantedLease'], terms: LeaseTerms) {
    this.id = granted.id
    this.fence = granted.fence
    this.users = granted.users
    this.#heldCount = granted.users.length
    this.#request = request
    this.#terms = terms
    this.#schedule((terms.expires - performance.now()) / 3)
  }

  /** The first user. */
  get user(): LeasedUser {
    const [user] = this.users
    if (!user) throw new TypeError('the lease has no user')
    return user
  }

  /** Aborts, with a UsersyncError `lease_lost`, when the users may be with others. Pass it to what works with them. */
  get lost(): AbortSignal {
    return this.#lost.signal
  }

  /**
   * Renews the lease now, and returns which of its users were deleted or changed since it began. Throws UsersyncError `lease_lost` if it
   * is over.
   */
  async renew(options: CallOptions = {}): Promise<components['schemas']['RenewedLease']> {
    this.#lost.signal.throwIfAborted()
    const { ttlSeconds } = this.#terms
    const begun = performance.now()
    const body = { fence: this.fence, ttl_seconds: ttlSeconds }
    const renewed = await this.#request('renewLease', { ...options, ...this.#place(), body }).catch((error) => {
      if (isOver(error)) this.#lose()
      throw error
    })
    this.#terms.expires = begun + ttlSeconds * 1000
    if (!this.#isOver) this.#schedule((ttlSeconds * 1000) / 3)
    return renewed
  }

  /** Returns all users and ends the lease. May be repeated. Throws UsersyncError `lease_lost` if it was over before. */
  async return(outcome: Outcome = 'clean', options: CallOptions = {}): Promise<void> {
    this.#stop()
    this.#outcome = outcome
    await this.#request('returnLease', { ...options, ...this.#place(), body: { fence: this.fence, outcome } })
    this.#heldCount = 0
  }

  /** Returns only these users. The lease ends with its last one. */
  async returnUsers(users: ReturnedUser[], options: CallOptions = {}): Promise<void> {
    const body = { fence: this.fence, users }
    const { held_count } = await this.#request('returnLease', { ...options, ...this.#place(), body })
    this.#heldCount = held_count
    if (held_count === 0) this.#stop()
  }

  /**
   * For `await using`: returns the users, as clean unless a return before it failed and said otherwise. Does nothing if they have been
   * returned. Throws UsersyncError `lease_lost` if the lease was over before.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#heldCount > 0) await this.return(this.#outcome)
  }

  #place() {
    const { pool } = this.#terms
    return { path: { id: this.id }, ...(pool !== undefined && { query: { pool } }) }
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#keep(), Math.max(0, ms))
    const { unref } = this.#timer as { unref?: () => void } // browsers have none
    unref?.call(this.#timer)
  }

  async #keep(): Promise<void> {
    const leftMs = this.#terms.expires - performance.now()
    if (leftMs <= 0) return this.#lose()
    // A connection may be dead without a sign, so one attempt gets only half of the time.
    await this.renew({ deadlineMs: leftMs / 2, attempts: 1 }).catch(() => {
      if (!this.#isOver) this.#schedule(Math.min(RETRY_MS, this.#terms.expires - performance.now()))
    })
  }

  #stop(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
  }

  #lose(): void {
    if (this.#isOver) return
    this.#stop()
    this.#lost.abort(new UsersyncError('lease_lost', 'The lease is over: its users may be with others.'))
  }
}

const isOver = (error: unknown) =>
  error instanceof UsersyncError && ['lease_lost', 'lease_not_found', 'pool_not_found'].includes(error.code)
