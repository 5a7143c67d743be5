import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Pull } from './actors/pulls.ts'
import { fairNow } from './clock.ts'
import type { EventOf } from './events.ts'
import type { World } from './world.ts'

/** Sleeps for the duration of the fault, or until the storm is over. */
const lasting = (world: World, ms: number) => sleep(ms, undefined, { signal: world.storm }).catch(() => {})

let databaseTurn: Promise<unknown> = Promise.resolve()

/** Allows one fault of the database at a time, because a start may take longer than scheduled. */
async function withoutDatabase(world: World, fault: () => Promise<void>, heal: () => Promise<void>): Promise<void> {
  const turn = databaseTurn.then(async () => {
    world.databaseWellSince = undefined
    try {
      await fault()
    } finally {
      await heal()
      world.databaseWellSince = fairNow()
    }
  })
  databaseTurn = turn.catch(() => {})
  await turn
}

export async function databaseWay(world: World, { manner, ms }: EventOf<'databaseWay'>): Promise<void> {
  const { databaseWay: way } = world
  const fault = async () => {
    await way.disturb(manner)
    await lasting(world, ms)
  }
  await withoutDatabase(world, fault, () => way.restore())
}

export async function killDatabase(world: World, { ms }: EventOf<'killDatabase'>): Promise<void> {
  const fault = async () => {
    await world.postgres.kill()
    await lasting(world, ms)
  }
  await withoutDatabase(world, fault, () => world.postgres.start())
}

/**
 * A fast shutdown and a start. After `pg_ctl restart` the server's command line no longer contains its folder, and
 * kill() cannot find it.
 */
export async function restartDatabase(world: World): Promise<void> {
  const stop = async () => {
    const [row] = await world.sql<{ directory: string }[]>`
      select setting as directory from pg_settings where name = 'data_directory'`
    const [pid] = (await readFile(join(row?.directory ?? '', 'postmaster.pid'), 'utf8')).split('\n')
    process.kill(Number(pid), 'SIGINT')
    while (existsSync(`/proc/${pid}`)) await sleep(50)
  }
  await withoutDatabase(world, stop, () => world.postgres.start())
}

export async function targetWay(world: World, { manner, ms }: EventOf<'targetWay'>): Promise<void> {
  await world.targetWay.disturb(manner)
  await lasting(world, ms)
  await world.targetWay.restore()
}

export async function stopReplica(world: World, { replica, ms }: EventOf<'killReplica'>): Promise<void> {
  const stopped = world.replicas[replica === 0 ? 0 : 1]
  stopped.stop()
  await lasting(world, ms)
  stopped.continue()
}

export async function endReplica(world: World, { kind, replica, ms }: EventOf<'killReplica'>): Promise<void> {
  const ended = world.replicas[replica === 0 ? 0 : 1]
  await ended.end(kind === 'killReplica' ? 'SIGKILL' : 'SIGTERM', lasting(world, Math.min(ms, 4_000)))
  await ended.run()
}

export function killPull(pulls: Pull[], { pull }: EventOf<'killPull'>): void {
  pulls[pull]?.kill()
}
