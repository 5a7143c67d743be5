import type { FastifyBaseLogger } from 'fastify'
import type { Sql } from 'postgres'
import { attemptEach } from '../database/attempt-each.ts'
import { FIRST_ID } from '../database/id-bounds.ts'
import { type Repeating, repeatEvery } from '../process/repeat.ts'
import { type EndObserver, sweepLeases } from './end-leases.ts'
import { fillStep, inStep } from './fill.ts'
import { finishResets } from './finish-resets.ts'
import { forgetLeases, isOld } from './forget.ts'
import type { Lines } from './lines.ts'

/** How often a process looks for expired leases and new users. Requests that find too few users look themselves. */
const INTERVAL_MS = 1_000

/**
 * How long the steps of one kind may go on in a pool, so that pools take turns. With 20 steps, a pool with more than 80 small commits a
 * second was never followed to the end.
 */
const TURN_MS = 2_000

interface Upkeep {
  sql: Sql
  lines: Lines
  observer: EndObserver
  /** How long the journal keeps a lease after its end, in seconds. */
  retention: number
  log: FastifyBaseLogger
}

/**
 * Ends expired leases and resets, follows new users, and forgets old leases, in all pools that lease users. Every process does this, and
 * none waits for another.
 */
export function startLeaseUpkeep(
  { sql, lines, observer, retention, log }: Upkeep,
  intervalMs = INTERVAL_MS,
): Repeating {
  let isFailing = false
  /** By pool: the last user that was looked at of those that wait for targets. */
  const lastLooked = new Map<number, string>()

  /**
   * Looks at the next users that wait for targets. Returns whether to go on: if some are free now, the next ones may be, too; behind the
   * last one come the first ones.
   */
  async function finishNext(id: number, name: string): Promise<boolean> {
    const after = lastLooked.get(id) ?? FIRST_ID
    const { freed, failed, last } = await finishResets(sql, id, after)
    if (last === undefined) lastLooked.delete(id)
    else lastLooked.set(id, last)
    if (freed > 0) lines.wake(name)
    if (failed > 0) log.warn({ pool: name, users: failed }, 'users not reset, a target has not put them right')
    return freed > 0 || (last === undefined && after !== FIRST_ID)
  }

  return repeatEvery(async (signal) => {
    try {
      await attemptEach(await readLeasePools(sql, retention), async ({ id, name, ...pool }) => {
        const sweep = async () => {
          const expired = await sweepLeases(sql, id)
          if (expired > 0) observer.leasesEnded('expired', expired)
          if (expired > 0) lines.wake(name)
          return expired > 0
        }
        if (pool.has_expired) await inSteps(signal, sweep)
        if (!pool.is_in_step) await inSteps(signal, () => fillStep(sql, id, observer))
        if (pool.is_resetting) await inSteps(signal, () => finishNext(id, name))
        else lastLooked.delete(id)
        if (pool.has_old) await inSteps(signal, async () => (await forgetLeases(sql, id, retention)) > 0)
      })
      isFailing = false
    } catch (err) {
      if (!isFailing) log.warn({ err }, 'upkeep of leases failed, retrying')
      isFailing = true // the database may be away for long
    }
  }, intervalMs)
}

/** A pool that leases users, and what is to do there. */
interface LeasePool {
  id: number
  name: string
  has_expired: boolean
  is_in_step: boolean
  is_resetting: boolean
  has_old: boolean
}

/** One statement for all pools, because in most seconds there is nothing to do. */
const readLeasePools = (sql: Sql, retention: number) => sql<LeasePool[]>`
  select o.id, o.name, (${inStep(sql, sql`o.id`)}) as is_in_step,
    exists (select from leases x where x.pool_id = o.id and x.ended_at is null and x.expires_at <= now()) as has_expired,
    exists (select from lease_resets r where r.pool_id = o.id) as is_resetting,
    exists (select from leases x where x.pool_id = o.id and ${isOld(sql, retention)}) as has_old
  from lease_pools l join pools o on o.id = l.pool_id order by o.id`

async function inSteps(signal: AbortSignal, step: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + TURN_MS
  while (!signal.aborted && (await step())) if (performance.now() > end) return
}
