import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { KEYS } from '../client.ts'
import type { EventOf } from '../events.ts'
import { createRandom } from '../random.ts'
import type { World } from '../world.ts'
import { anyReplica } from './batches.ts'

/**
 * Lists a pool across pages, each from a random replica. Ordered by id, which never changes, no user may be listed
 * twice.
 */
export async function list(world: World, { pool, sort, limit, seed }: EventOf<'list'>): Promise<void> {
  const random = createRandom(seed)
  const seen = new Set<string>()
  let cursor: string | null = ''
  for (let page = 0; page < 30 && cursor !== null && !world.storm.aborted; page++) {
    const query = `pool=${pool}&sort=${sort}&limit=${limit}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`
    const { status, json } = await world.client.ask({
      replica: random.pick(world.replicas),
      key: 'reader',
      path: `/v1/users?${query}`,
    })
    if (status !== 200) continue
    for (const { id } of json['items'] as { id: string }[]) {
      if (sort === 'id' && seen.has(id)) world.report.finding('listing', `the user ${id} is listed twice in ${query}`)
      seen.add(id)
    }
    cursor = json['next_cursor'] as string | null
  }
}

/** Reads an export with one byte per second, and disconnects. */
export async function slowRead(world: World, { pool, form, ms, seed }: EventOf<'slowRead'>): Promise<void> {
  const over = AbortSignal.any([world.storm, AbortSignal.timeout(ms)])
  const path = `/v1/users/export?pool=${pool}&format=${form}&differential=false&include=password`
  const headers = { authorization: `Bearer ${KEYS.logins.secret}`, 'accept-encoding': 'identity' }
  const sent = request(anyReplica(world, seed).url + path, { headers, agent: false }).on('error', () => {})
  sent.on('response', (response) => {
    response.on('error', () => {})
    const timer = setInterval(() => response.read(1), 1_000)
    response.on('close', () => clearInterval(timer))
  })
  sent.end()
  await sleep(ms, undefined, { signal: over }).catch(() => {})
  sent.destroy()
}

const PATHS = ['/v1/users', '/v1/users/export?pool=steady', '/v1/batches', '/v1/stats', '/v1/sync/status', '/metrics']

/** A client that disconnects before the response, or just when it arrives. */
export async function vanish(world: World, { ms, seed }: EventOf<'vanish'>): Promise<void> {
  const path = createRandom(seed).pick(PATHS)
  await world.client.ask({ replica: anyReplica(world, seed), path, signal: AbortSignal.timeout(ms + 1) })
}

const SEEN = [
  '/v1/stats',
  '/v1/lifecycle/candidates',
  '/v1/batches?limit=1000',
  '/v1/audit?limit=5',
  '/livez',
  '/metrics',
  '/openapi.json',
]

export async function stats(world: World, { seed }: EventOf<'stats'>): Promise<void> {
  await world.client.ask({ replica: anyReplica(world, seed), path: createRandom(seed).pick(SEEN) })
}

export async function sync(world: World, { pool, full, seed }: EventOf<'sync'>): Promise<void> {
  const body = { pool, target: 'tester', full }
  const { status } = await world.client.ask({ replica: anyReplica(world, seed), key: 'writer', path: '/v1/sync', body })
  if (status === 202) world.report.count('pushes requested')
}

export async function verify(world: World, { pool, seed }: EventOf<'verify'>): Promise<void> {
  const body = { pool, target: 'tester' }
  await world.client.ask({
    replica: anyReplica(world, seed),
    key: 'reader',
    path: '/v1/sync/verify',
    body,
    extraMs: 60_000,
  })
}
