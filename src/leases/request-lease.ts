import { createHmac } from 'node:crypto'
import type { Sql } from 'postgres'
import { Problem, retryLater } from '../errors.ts'
import { findPoolId, poolNotFound } from '../pools/pools.ts'
import { deriveKey } from '../secrets/encryption.ts'
import type { createCounts } from './counts.ts'
import { type EndObserver, endLease, leaseLost } from './end-leases.ts'
import { type GrantedLease, MAX_LINE_BYTES } from './grant.ts'
import { type LeaseCredential, readLeaseUsers } from './lease-users.ts'
import type { Ticket } from './line.ts'
import type { Lines } from './lines.ts'
import type { Selection } from './selection.ts'

/** A valid request for a lease. */
export interface LeaseRequest {
  selection: Selection
  count: number
  partial: boolean
  ttlSeconds: number
  waitSeconds: number
  owner: string
  /** The name of the API key; null without keys. */
  apiKey: string | null
  include: LeaseCredential[]
  /** The Idempotency-Key. */
  key: string | undefined
}

/** Receives how requests for leases, and leases, ended. */
export interface LeaseObserver extends EndObserver {
  leaseRequested(outcome: 'granted' | 'exhausted', seconds: number, users: number): void
}

/** What requests for leases need from the service. */
export interface Leasing {
  /** The connections for leases. */
  sql: Sql
  lines: Lines
  counts: ReturnType<typeof createCounts>
  encryptionKey: Buffer
  observer: LeaseObserver
}

/**
 * Returns a new lease, or that of the earlier request with the same key and body. `left` aborts if the client leaves before it has the
 * response, or gets an error: then it leaves the line, or its lease ends at once. A lease with a key stays, since the client may come back for it.
 * Throws `pool_not_found`, `users_exhausted`, `lease_too_large`, `idempotency_key_reused`, `lease_lost`, `overloaded`.
 */
export async function requestLease(leasing: Leasing, request: LeaseRequest, left: AbortSignal): Promise<GrantedLease> {
  const lease =
    request.key === undefined ? await takeTurn(leasing, request, left) : await withKey(leasing, request, left)
  if (lease === 'key_used')
    throw retryLater('overloaded', 'Another request with this Idempotency-Key is in progress. Try again.', 1)
  if (request.include.length === 0) return lease
  const { pool } = request.selection
  return { ...lease, users: await readLeaseUsers(leasing.sql, { pool, id: lease.id }, { ...leasing, ...request }) }
}

/** Requests with a key in progress in this process. A repetition waits for the first one. */
const inProgress = new Map<string, Promise<unknown>>()

async function withKey(leasing: Leasing, request: LeaseRequest, left: AbortSignal) {
  const name = JSON.stringify([request.selection.pool, request.apiKey, request.key])
  await inProgress.get(name)?.catch(() => {})
  const earlier = await findLease(leasing, request)
  if (earlier) return earlier
  const turn = takeTurn(leasing, request, left)
  inProgress.set(name, turn)
  try {
    const lease = await turn
    return lease === 'key_used' ? ((await findLease(leasing, request)) ?? lease) : lease
  } finally {
    inProgress.delete(name)
  }
}

/** HMAC, as for batches: a reader of the database learns nothing of the body. */
function digestOf({ selection, count, partial, ttlSeconds, owner, include }: LeaseRequest, encryptionKey: Buffer) {
  const body = JSON.stringify([selection, count, partial, ttlSeconds, owner, include])
  return createHmac('sha256', deriveKey(encryptionKey, 'idempotency')).update(body).digest()
}

interface KeyedLease extends Omit<GrantedLease, 'users'> {
  digest: Buffer
  is_alive: boolean
}

/** Returns the lease of the request's key. Throws `idempotency_key_reused`, and `lease_lost` if it is over. */
async function findLease({ sql, encryptionKey }: Leasing, request: LeaseRequest): Promise<GrantedLease | undefined> {
  const { pool } = request.selection
  const poolId = await findPoolId(sql, pool)
  const [row] = await sql<KeyedLease[]>`
    select x.id, x.fence::float8 as fence, rfc3339(x.expires_at) as expires_at, cardinality(x.user_ids) as user_count,
      x.idempotency_digest as digest, x.ended_at is null and x.expires_at > clock_timestamp() as is_alive
    from leases x
    where x.pool_id = ${poolId} and x.idempotency_owner = ${request.apiKey ?? ''} and x.idempotency_key = ${request.key ?? null}`
  if (!row) return undefined
  const { digest, is_alive: isAlive, ...lease } = row
  if (!digest.equals(digestOf(request, encryptionKey))) {
    throw new Problem(
      'idempotency_key_reused',
      'This Idempotency-Key was already used with another body. Choose a new key.',
    )
  }
  if (!isAlive) throw leaseLost()
  return { ...lease, users: await readLeaseUsers(sql, { pool, id: lease.id }, { include: [], encryptionKey }) }
}

/** Stands in the line until the request has a lease. Throws why there is none. */
async function takeTurn(
  leasing: Leasing,
  request: LeaseRequest,
  left: AbortSignal,
): Promise<GrantedLease | 'key_used'> {
  const { sql, lines, observer, encryptionKey } = leasing
  const { selection, waitSeconds, key, ...terms } = request
  const { pool } = selection
  const begun = performance.now()
  const { promise, resolve, reject } = Promise.withResolvers<Parameters<Ticket['settle']>[0]>()
  const giveBack = (id: string) =>
    endLease(sql, { pool, id }, 'abandoned')
      .then((isEnded) => isEnded && observer.leasesEnded('abandoned', 1))
      .catch(() => {}) // then it expires
      .finally(() => lines.wake(pool))
  const ticket: Ticket = {
    ...terms,
    idempotency:
      key === undefined ? undefined : { owner: request.apiKey ?? '', key, digest: digestOf(request, encryptionKey) },
    deadline: begun + waitSeconds * 1000,
    left,
    settle(decision) {
      if (typeof decision === 'object' && key === undefined) {
        if (left.aborted) void giveBack(decision.id)
        else left.addEventListener('abort', () => void giveBack(decision.id), { once: true })
      }
      resolve(decision)
    },
    fail: reject,
  }
  if (left.aborted) throw clientLeft()
  lines.enter(selection, ticket)
  left.addEventListener('abort', () => reject(clientLeft()), { once: true })
  const decision = await promise
  const seconds = (performance.now() - begun) / 1000
  if (decision === 'no_pool') throw poolNotFound(pool)
  if (decision === 'too_large') throw tooLarge()
  if (decision === 'key_used') return decision
  // The first request with the key may have taken the last users.
  const earlier = decision === 'exhausted' && key !== undefined && (await findLease(leasing, request))
  if (earlier) return earlier
  const isGranted = decision !== 'exhausted'
  observer.leaseRequested(isGranted ? 'granted' : 'exhausted', seconds, isGranted ? decision.user_count : 0)
  if (!isGranted) throw await exhausted(leasing, request)
  return decision
}

const clientLeft = () => new Problem('request_timeout', 'The client has left.')

const tooLarge = () =>
  new Problem('lease_too_large', `Their lines have more than ${MAX_LINE_BYTES} bytes. Request fewer users at once.`)

async function exhausted({ sql, counts }: Leasing, { selection, count }: LeaseRequest): Promise<Problem> {
  const found = await counts(await findPoolId(sql, selection.pool), selection)
  const untilExpiry = found.next_expiry === null ? 5 : Math.ceil((Date.parse(found.next_expiry) - Date.now()) / 1000)
  const { free, leased, dirty, consumed } = found
  const few = `${free} of the ${count} requested users are free. Wait with wait_seconds, take fewer with partial, or reset used users.`
  const detail =
    free >= count
      ? 'Other requests wait for these users. Wait with wait_seconds, or try again.'
      : free + leased + dirty + consumed === 0
        ? 'No user of the pool is selected: check `pool`, `batch_id` and `filter`.'
        : few
  return new Problem('users_exhausted', detail, {
    headers: { 'retry-after': String(Math.min(Math.max(untilExpiry, 1), 30)) },
    members: { ...found },
  })
}
