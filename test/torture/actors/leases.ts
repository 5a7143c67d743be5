import { setTimeout as sleep } from 'node:timers/promises'
import type { Held } from '../../leases/holdings.ts'
import type { EventOf } from '../events.ts'
import { createRandom, type Random } from '../random.ts'
import type { World } from '../world.ts'

type LeaseEvent = EventOf<'lease'>

/** A lease and when it ends at the earliest and the latest, by `performance.now()`. */
interface Lease extends Held {
  id: string
  earliest: number
  latest: number
}

/** Callers that take users at the same time, and then renew, return, die or are suspended past the end of their lease. */
export async function lease(world: World, event: LeaseEvent): Promise<void> {
  const random = createRandom(event.seed)
  const seeds = Array.from({ length: event.callers }, () => random.int(1, 0x7fffffff))
  await Promise.all(seeds.map((seed) => call(world, event, createRandom(seed))))
}

async function call(world: World, event: LeaseEvent, random: Random): Promise<void> {
  const { report } = world
  const lease = await take(world, event, random)
  if (!lease) return
  const manner = random.weighted({ uses: 4, dies: 3, stalls: 3 })
  report.count(`leases ${manner}`)
  if (manner === 'uses') await use(world, event, lease, random)
  if (manner === 'stalls') {
    await sleep(lease.latest - performance.now() + random.int(20, 500))
    const isRenewal = random.chance(0.5)
    const { status } = isRenewal
      ? await renew(world, event, lease, random)
      : await giveBack(world, event, lease, random)
    if (status === 200) report.finding('one-holder', `lease ${lease.id} is not lost after its end`)
  }
}

async function take(world: World, { pool, waitSeconds }: LeaseEvent, random: Random): Promise<Lease | undefined> {
  const { client, report, holdings } = world
  const ttl = random.int(1, 4)
  const sentAt = performance.now()
  const { status, json } = await client.ask({
    replica: random.pick(world.replicas),
    key: 'caller',
    path: '/v1/leases',
    body: {
      ...{ pool, count: random.int(1, 3), partial: true, ttl_seconds: ttl, wait_seconds: waitSeconds },
      order: random.pick(['least_used', 'random', 'sequence']),
    },
    ...(random.chance(0.2) && { headers: { 'idempotency-key': `torture ${random.next()}` } }),
    ...(random.chance(0.1) && { signal: AbortSignal.timeout(random.int(1, 300)) }),
    extraMs: waitSeconds * 1_000,
  })
  report.count(status === 201 ? 'leases granted' : `leases answered ${status}`)
  if (status === 409) await reset(world, pool, random)
  if (status !== 201) return undefined
  const [earliest, latest] = [sentAt + ttl * 1_000, performance.now() + ttl * 1_000]
  const lease = { ...(json as unknown as Held & { id: string }), earliest, latest }
  holdings.take(lease, earliest)
  return lease
}

/** Renews some times, then returns all users. */
async function use(world: World, event: LeaseEvent, lease: Lease, random: Random): Promise<void> {
  for (let turns = random.int(0, 6); turns > 0 && !world.storm.aborted; turns--) {
    await sleep(random.int(10, 900))
    if (!stays(world, lease, await renew(world, event, lease, random))) return
  }
  world.holdings.setUntil(lease, 0)
  stays(world, lease, await giveBack(world, event, lease, random))
}

/** Whether the caller still has its lease after a response. It is a finding if the lease was lost before its end. */
function stays({ report, holdings }: World, lease: Lease, { status }: { status: number }): boolean {
  if (status !== 409) return true
  if (performance.now() < lease.earliest) report.finding('none-lost', `lease ${lease.id} is lost before its end`)
  holdings.setUntil(lease, 0)
  report.count('leases lost')
  return false
}

async function renew(world: World, { pool }: LeaseEvent, lease: Lease, random: Random) {
  const ttl = random.int(1, 4)
  const sentAt = performance.now()
  const answer = await send(
    world,
    `/v1/leases/${lease.id}/renew`,
    { pool, fence: lease.fence, ttl_seconds: ttl },
    random,
  )
  // Without a response, the lease ends at the earlier of both times, or at the later one.
  const [earliest, latest] = [sentAt + ttl * 1_000, performance.now() + ttl * 1_000]
  lease.earliest = answer.status === 200 ? earliest : Math.min(lease.earliest, earliest)
  lease.latest = answer.status === 200 ? latest : Math.max(lease.latest, latest)
  if (answer.status !== 409) world.holdings.setUntil(lease, lease.earliest)
  return answer
}

async function giveBack(world: World, { pool }: LeaseEvent, { id, fence, users }: Lease, random: Random) {
  const outcome = random.pick(['clean', 'clean', 'dirty', 'consumed'])
  const members = random.chance(0.3) ? { users: users.map((user) => ({ id: user.id, outcome })) } : { outcome }
  return await send(world, `/v1/leases/${id}/return`, { pool, fence, ...members }, random)
}

const reset = (world: World, pool: string, random: Random) => send(world, '/v1/leases/reset', { pool }, random)

const send = (world: World, path: string, body: object, random: Random) =>
  world.client.ask({ replica: random.pick(world.replicas), key: 'caller', path, body })
