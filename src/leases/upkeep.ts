import type { FastifyBaseLogger } from 'fastify'
import type { Sql } from 'postgres'
import { attemptEach } from '../database/attempt-each.ts'
import { FIRST_ID } from '../database/id-bounds.ts'
import { type Repeating, repeatEvery } from '../process/repeat.ts'
import { type EndObserver, sweepLeases } from './end-leases.ts'
import { fillStep, isInStep } from './fill.ts'
import { finishResets } from './finish-resets.ts'
import { forgetLeases } from './forget.ts'
import type { Lines } from './lines.ts'

/** How often a process looks for expired leases and new users. Requests that find too few users look themselves. */
const INTERVAL_MS = 1_000

/** Steps of one pool in a row, so that pools take turns. */
const STEPS = 20

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

  /** Looks at the next users that wait for targets. Returns whether some are free now: then the next ones may be, too. */
  async function finishNext(id: number, name: string): Promise<boolean> {
    const { freed, failed, last } = await finishResets(sql, id, lastLooked.get(id) ?? FIRST_ID)
    if (last === undefined) lastLooked.delete(id)
    else lastLooked.set(id, last)
    if (freed > 0) lines.wake(name)
    if (failed > 0) log.warn({ pool: name, users: failed }, 'users not reset, a target has not put them right')
    return freed > 0
  }

  return repeatEvery(async (signal) => {
    try {
      await attemptEach(await leasePools(sql), async ({ id, name }) => {
        await inSteps(signal, async () => {
          const expired = await sweepLeases(sql, id)
          if (expired > 0) observer.leasesEnded('expired', expired)
          if (expired > 0) lines.wake(name)
          return expired > 0
        })
        await inSteps(signal, async () => !(await isInStep(sql, id)) && (await fillStep(sql, id, observer)))
        await inSteps(signal, () => finishNext(id, name))
        await inSteps(signal, async () => (await forgetLeases(sql, id, retention)) > 0)
      })
      isFailing = false
    } catch (err) {
      if (!isFailing) log.warn({ err }, 'upkeep of leases failed, retrying')
      isFailing = true // the database may be away for long
    }
  }, intervalMs)
}

const leasePools = (sql: Sql) => sql<{ id: number; name: string }[]>`
  select p.id, p.name from lease_pools l join pools p on p.id = l.pool_id order by p.id`

async function inSteps(signal: AbortSignal, step: () => Promise<boolean>): Promise<void> {
  for (let n = 0; n < STEPS && !signal.aborted; n++) if (!(await step())) return
}
