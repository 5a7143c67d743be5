import { fairNow } from './clock.ts'
import type { Replica } from './replica.ts'
import type { World } from './world.ts'

const CHECK_INTERVAL_MS = 500

/** A replica may be unready for this long after a fault has ended or it has started. */
const GRACE_MS = 15_000

/**
 * A replica is reported after it has been unready for this long without a break: on a busy machine a single check may
 * fail.
 */
const UNREADY_MS = 8_000

/** Checks health and the time limits of requests continuously. */
export function startWatch(world: World): { stop(): void } {
  const unreadySince = new Map<Replica, { at: number; reason: string }>()

  const isWell = (replica: Replica) => {
    const now = fairNow()
    const wellFor = (since: number | undefined) => since !== undefined && now - since > GRACE_MS
    return wellFor(world.databaseWellSince) && wellFor(replica.upSince)
  }

  async function look(replica: Replica): Promise<void> {
    if (replica.upSince === undefined) return
    const ask = (path: string) => world.client.ask({ replica, path, kind: 'health', headers: { connection: 'close' } })
    const [ready] = await Promise.all([ask('/readyz'), ask('/livez')])
    world.report.count(`ready ${ready.status}`)
    if (ready.status === 200 || !isWell(replica)) {
      unreadySince.delete(replica)
      return
    }
    const since = unreadySince.get(replica) ?? { at: fairNow(), reason: '' }
    unreadySince.set(replica, { ...since, reason: `${ready.status} ${ready.text}` })
    if (fairNow() - since.at < UNREADY_MS) return
    world.report.finding(
      'ready-when-well',
      `${replica.name} answered ${ready.status} ${ready.text} for ${UNREADY_MS} ms`,
    )
  }

  const looking = new Set<Replica>()
  const timer = setInterval(() => {
    world.client.watch()
    for (const replica of world.replicas) {
      if (looking.has(replica)) continue
      looking.add(replica)
      void look(replica).finally(() => looking.delete(replica))
    }
  }, CHECK_INTERVAL_MS)
  return { stop: () => clearInterval(timer) }
}
