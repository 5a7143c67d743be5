import { fairNow } from './clock.ts'
import type { Replica } from './replica.ts'
import type { World } from './world.ts'

const LOOK_MS = 500

/** So long after a fault has healed, or a replica has started, it may still be unready. */
const GRACE_MS = 15_000

/** So long it must be unready without a break to be reported: a machine that is busy makes a single look fail. */
const UNREADY_MS = 8_000

/** Looks at health and at the bounds of requests, all the time. */
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
    world.report.finding('ready-when-well', `${replica.name} says ${ready.status} ${ready.text} for ${UNREADY_MS} ms`)
  }

  const looking = new Set<Replica>()
  const timer = setInterval(() => {
    world.client.watch()
    for (const replica of world.replicas) {
      if (looking.has(replica)) continue
      looking.add(replica)
      void look(replica).finally(() => looking.delete(replica))
    }
  }, LOOK_MS)
  return { stop: () => clearInterval(timer) }
}
