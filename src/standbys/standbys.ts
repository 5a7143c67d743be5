import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Sql } from 'postgres'
import { repeatEvery } from '../process/repeat.ts'
import { lookUpScope } from '../states/scope-state.ts'
import { type Lack, openCaughtUp, type ScopeOfPool } from './open-caught-up.ts'
import { createStandby, type Failure, type Standby, type StandbySnapshot, type StandbyStatus } from './standby.ts'

/** The standbys that exports read from. */
export interface Standbys {
  /**
   * Opens a snapshot at a standby whose scope has everything that the primary had when this was called. Waits briefly for
   * a standby that is behind. Returns undefined if the caller must read the primary. Throws `pool_not_found`, and errors of
   * the primary.
   */
  openSnapshot(scope: ScopeOfPool): Promise<StandbySnapshot | undefined>
  /** In the order of READ_DATABASE_URL. */
  status(): { standby: number; status: StandbyStatus }[]
  close(): Promise<void>
}

/** Receives what happens with standbys. */
export interface StandbyObserver {
  /** An export has its snapshot, at a standby or at the primary, after a wait of so many seconds. */
  snapshotOpened(server: 'standby' | 'primary', seconds: number): void
  standbyFailed(standby: number, failure: Failure): void
}

/** How long an export waits for a standby, how often it looks, how often standbys are checked, and how long one is passed over. */
export const STANDBY_PACE = { waitMs: 1_000, pollMs: 10, checkMs: 500, retryMs: 5_000 }

interface StandbysOptions {
  /** The primary. */
  sql: Sql
  urls: readonly string[]
  schema: string
  /** Maximum number of open snapshots of each standby. */
  snapshots: number
  silenceMs: number | undefined
  observer: StandbyObserver
  log: FastifyBaseLogger
  pace?: typeof STANDBY_PACE | undefined
}

/**
 * Connects to the standbys, and checks them from now on. One that is away is passed over and does not prevent the start.
 * Throws an Error if one that is there does not allow enough connections.
 */
export async function openStandbys(options: StandbysOptions): Promise<Standbys> {
  const { sql: primary, urls, schema, snapshots, silenceMs, observer, log, pace = STANDBY_PACE } = options
  const { waitMs, pollMs, checkMs, retryMs } = pace
  const standbys = urls.map((url, index) => {
    const number = index + 1
    const onFailure = (failure: Failure) => observer.standbyFailed(number, failure)
    return createStandby({ ...{ number, url, schema, snapshots, waitMs, silenceMs, retryMs }, onFailure, log })
  })
  const ofAll = (work: (standby: Standby) => Promise<void>) => Promise.all(standbys.map(work))
  const endAll = () => ofAll((standby) => standby.end())

  /** The standby with the fewest snapshots; ties go to the one used least recently. */
  const pick = (): Standby | undefined =>
    standbys
      .filter((standby) => standby.status() === 'ready' && standby.active() < snapshots)
      .toSorted((a, b) => a.active() - b.active() || a.lastUsedAt() - b.lastUsedAt())[0]

  async function openAtAny(scope: ScopeOfPool): Promise<StandbySnapshot | undefined> {
    let standby = pick()
    if (!standby) return undefined
    const present = await lookUpScope(primary, scope.pool, scope.filter)
    const waitedFor = new Map<Standby, Lack>()
    for (const deadline = performance.now() + waitMs; standby; standby = pick()) {
      const opened = await standby.open((sql) => openCaughtUp(sql, primary, scope, present))
      if (typeof opened === 'object') return opened
      if (opened === 'behind' || opened === 'ahead') waitedFor.set(standby, opened)
      else if (opened !== undefined) standby.fail(opened)
      if (performance.now() + pollMs >= deadline) break
      if (waitedFor.size > 0) await sleep(pollMs)
    }
    /** Whether the standby has what it lacked. Until then, exports read others and do not wait. */
    const hasRecovered = async (sql: Sql) => {
      const opened = await openCaughtUp(sql, primary, scope, present)
      if (typeof opened === 'object') await opened.close()
      return typeof opened === 'object'
    }
    for (const [standby, lack] of waitedFor) standby.fail(lack, { hasRecovered })
    return undefined
  }

  await ofAll((standby) => standby.checkBudget()).catch(async (error) => {
    await endAll()
    throw error
  })
  const checking = repeatEvery(() => ofAll((standby) => standby.check()).then(() => {}), checkMs)
  return {
    async openSnapshot(scope) {
      const begun = performance.now()
      const snapshot = await openAtAny(scope)
      observer.snapshotOpened(snapshot ? 'standby' : 'primary', (performance.now() - begun) / 1000)
      return snapshot
    },
    status: () => standbys.map((standby) => ({ standby: standby.number, status: standby.status() })),
    async close() {
      await Promise.all([checking.stop(), endAll()])
    },
  }
}
