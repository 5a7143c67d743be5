import { setTimeout as sleep } from 'node:timers/promises'
import type { EventOf, Pool } from '../events.ts'
import { createRandom, type Random } from '../random.ts'
import type { KnownBatch, World } from '../world.ts'

/** Creates a batch. With a key, repeats the request, also to the other replica, until there is a response. */
export async function batch(world: World, event: EventOf<'batch'>): Promise<void> {
  const { pool, count, config, keyed, wait, expiresIn, vanish } = event
  const { client, report, storm } = world
  const random = createRandom(event.seed)
  const label = `torture ${event.round} ${event.at} ${event.seed}`
  const body = { pool, count, label, config, ...(expiresIn !== null && { expires_in: expiresIn }) }
  const headers = {
    ...(keyed && { 'idempotency-key': label }),
    ...(wait > 0 && { prefer: `wait=${wait}` }),
  }
  for (let attempt = 0; attempt < 8; attempt++) {
    const { status, json } = await client.ask({
      replica: random.pick(world.replicas),
      key: 'writer',
      path: '/v1/batches',
      body,
      headers,
      extraMs: wait * 1_000,
      ...(vanish && { signal: AbortSignal.timeout(random.int(1, 400)) }),
    })
    if (status === 201 || status === 202) {
      report.count('batches accepted')
      report.count('users requested', count)
      if (!world.batches.some((known) => known.label === label))
        world.batches.push({ pool, label, id: String(json['id']) })
      if (!keyed || random.chance(0.7)) return
    }
    if (!keyed || storm.aborted) return
    await sleep(random.int(200, 1_000), undefined, { signal: storm }).catch(() => {})
  }
}

/** The batch at this position, from 0 to 1, among those known in the pool. */
function known(world: World, pool: Pool, which: number): KnownBatch | undefined {
  const batches = world.batches.filter((batch) => batch.pool === pool)
  return batches[Math.floor(which * batches.length)]
}

const path = ({ pool, id }: KnownBatch, rest = '') => `/v1/batches/${id}${rest}?pool=${pool}`

export async function deleteBatch(world: World, { pool, which, seed }: EventOf<'deleteBatch'>): Promise<void> {
  const batch = known(world, pool, which)
  if (!batch) return
  await world.client.ask({ replica: anyReplica(world, seed), key: 'writer', method: 'DELETE', path: path(batch) })
}

export async function cancel(world: World, { pool, which, seed }: EventOf<'cancel'>): Promise<void> {
  const batch = known(world, pool, which)
  if (!batch) return
  await world.client.ask({
    replica: anyReplica(world, seed),
    key: 'writer',
    method: 'POST',
    path: path(batch, '/cancel'),
  })
}

export async function expire(world: World, { pool, seed }: EventOf<'expire'>): Promise<void> {
  await world.client.ask({
    replica: anyReplica(world, seed),
    key: 'writer',
    path: '/v1/lifecycle/expire',
    body: { pool },
  })
}

/** Follows a batch's progress as server-sent events, and disconnects in the middle. */
export async function events(world: World, { pool, which, ms, seed }: EventOf<'events'>): Promise<void> {
  const batch = known(world, pool, which)
  if (!batch) return
  const signal = AbortSignal.any([world.storm, AbortSignal.timeout(ms)])
  await world.client.ask({ replica: anyReplica(world, seed), key: 'reader', path: path(batch, '/events'), signal })
}

export const anyReplica = (world: World, seed: number, random: Random = createRandom(seed)) =>
  random.pick(world.replicas)
