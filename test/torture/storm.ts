import { setTimeout as sleep } from 'node:timers/promises'
import * as batches from './actors/batches.ts'
import type { Follower } from './actors/followers.ts'
import { importUsers } from './actors/imports.ts'
import { lease } from './actors/leases.ts'
import type { Pull } from './actors/pulls.ts'
import * as readers from './actors/readers.ts'
import { scopes } from './actors/scopes.ts'
import * as writers from './actors/writers.ts'
import type { Event } from './events.ts'
import * as faults from './faults.ts'
import type { World } from './world.ts'

/**
 * Plays the events of one round at their times. Resolves when the storm is over and everything it started has ended.
 */
export async function playStorm(
  world: World,
  { events, followers, pulls, stormMs }: { events: Event[]; followers: Follower[]; pulls: Pull[]; stormMs: number },
): Promise<void> {
  world.storm = AbortSignal.timeout(stormMs)
  const began = performance.now()
  const underway: Promise<unknown>[] = followers.map((follower) => follower.follow())
  for (const event of events) {
    await sleep(Math.max(0, event.at - (performance.now() - began)), undefined, { signal: world.storm }).catch(() => {})
    if (world.storm.aborted) break
    world.report.count(`events ${event.kind}`)
    underway.push(play(world, event, pulls).catch((error) => world.report.count(`failed ${event.kind}: ${error}`)))
  }
  await sleep(Math.max(0, stormMs - (performance.now() - began)))
  await Promise.all(underway)
}

async function play(world: World, event: Event, pulls: Pull[]): Promise<void> {
  switch (event.kind) {
    case 'batch':
      return await batches.batch(world, event)
    case 'deleteBatch':
      return await batches.deleteBatch(world, event)
    case 'cancel':
      return await batches.cancel(world, event)
    case 'expire':
      return await batches.expire(world, event)
    case 'events':
      return await batches.events(world, event)
    case 'import':
      return await importUsers(world, event)
    case 'patch':
      return await writers.patch(world, event)
    case 'deleteUser':
      return await writers.deleteUser(world, event)
    case 'sql':
      return await writers.sql(world, event)
    case 'list':
      return await readers.list(world, event)
    case 'slowRead':
      return await readers.slowRead(world, event)
    case 'vanish':
      return await readers.vanish(world, event)
    case 'stats':
      return await readers.stats(world, event)
    case 'sync':
      return await readers.sync(world, event)
    case 'verify':
      return await readers.verify(world, event)
    case 'lease':
      return await lease(world, event)
    case 'scopes':
      return await scopes(world, event)
    case 'databaseWay':
      return await faults.databaseWay(world, event)
    case 'killDatabase':
      return await faults.killDatabase(world, event)
    case 'restartDatabase':
      return await faults.restartDatabase(world)
    case 'targetWay':
      return await faults.targetWay(world, event)
    case 'stopReplica':
      return await faults.stopReplica(world, event)
    case 'killReplica':
    case 'endReplica':
      return await faults.endReplica(world, event)
    case 'killPull':
      return faults.killPull(pulls, event)
  }
}
