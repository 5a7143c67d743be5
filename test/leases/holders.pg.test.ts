import { setTimeout as sleep } from 'node:timers/promises'
import { testDatabase } from '../database.ts'
import { type Answer, startService } from '../http/service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { type Lease, makePool } from './pool.ts'

const t = suite()

/*
 * The promise of leases: a user is never with two living holders, and none is lost. Callers of two services on one database take,
 * renew and return users; a third of them forgets its lease as if it was killed, and a third sleeps past its time and comes back.
 */

const CALLERS = sized(60, 200)
const SECONDS = sized(6, 120)
const USERS = sized(40, 120)
const TTL_SECONDS = 1

t.setTimeout((SECONDS + 120) * 1000)

const DATABASE_URL = await testDatabase(t)
const services = [
  await startService(t, { DATABASE_URL, MAX_WORKERS: '1' }),
  await startService(t, { DATABASE_URL, MAX_WORKERS: '1' }),
] as const
const pool = await makePool(services[0], USERS)

interface Holding {
  fence: number
  /** By `performance.now()`: the holder may use the user until then. Measured from before the request, so it is never too late. */
  until: number
}

const holdings = new Map<string, Holding>()
const faults: string[] = []
const random = (below: number) => Math.floor(Math.random() * below)
const post = <Json = Lease>(path: string, body: object): Promise<Answer<Json>> =>
  services[random(2) as 0 | 1].call<Json>('POST', path, { body: { pool, ...body } })

/** Notes that these users are with this lease from now on. A fault if somebody else may still use one of them. */
function hold({ users, fence }: Lease, sentAt: number): void {
  for (const { id } of users) {
    const other = holdings.get(id)
    if (other && other.until > performance.now())
      faults.push(`${id}: fence ${fence} while fence ${other.fence} holds it`)
    if (other && other.fence > fence) faults.push(`${id}: fence ${fence} after fence ${other.fence}`)
    holdings.set(id, { fence, until: sentAt + TTL_SECONDS * 1000 })
  }
}

function setUntil({ users, fence }: Lease, until: number): void {
  for (const { id } of users) if (holdings.get(id)?.fence === fence) holdings.set(id, { fence, until })
}

const counts = { leases: 0, forgotten: 0, lost: 0, returned: 0 }

async function work(lease: Lease): Promise<void> {
  const kind = random(3)
  if (kind === 0) {
    counts.forgotten++
    return
  }
  if (kind === 1) await sleep(TTL_SECONDS * 1000 + random(300) - 100) // suspended, and back a little before or after the end
  for (let turns = random(3); turns > 0; turns--) {
    await sleep(random(100))
    const sentAt = performance.now()
    const { status } = await post(`/v1/leases/${lease.id}/renew`, { fence: lease.fence, ttl_seconds: TTL_SECONDS })
    if (status === 200) setUntil(lease, sentAt + TTL_SECONDS * 1000)
    else if (kind === 2 && performance.now() - sentAt < 500) faults.push(`a prompt renewal gets ${status}`)
    else {
      counts.lost++
      return
    }
  }
  setUntil(lease, 0)
  const outcome = ['clean', 'dirty', 'consumed'][random(3)]
  const { status } = await post(`/v1/leases/${lease.id}/return`, { fence: lease.fence, outcome })
  if (status === 200) counts.returned++
  else counts.lost++
}

async function caller(end: number): Promise<void> {
  while (performance.now() < end) {
    const sentAt = performance.now()
    const body = { count: 1 + random(3), partial: true, ttl_seconds: TTL_SECONDS, wait_seconds: random(2) }
    const { status, json } = await post('/v1/leases', {
      ...body,
      order: ['least_used', 'random', 'sequence'][random(3)],
    })
    if (status !== 201) await post('/v1/leases/reset', {})
    if (status !== 201) continue
    counts.leases++
    hold(json, sentAt)
    await work(json)
  }
}

t.test('no user is with two holders, and none is lost', async (t) => {
  const end = performance.now() + SECONDS * 1000
  await Promise.all(Array.from({ length: CALLERS }, () => caller(end)))
  t.strictSame(faults.slice(0, 10), [])
  t.ok(counts.leases > USERS && counts.forgotten > 0 && counts.lost > 0 && counts.returned > 0, JSON.stringify(counts))

  await post('/v1/leases/reset', {})
  const free = async () => (await services[0].call<{ free: number }>('GET', `/v1/leases/stats?pool=${pool}`)).json.free
  for (const deadline = Date.now() + 20_000; (await free()) !== USERS && Date.now() < deadline; ) await sleep(100)
  t.equal(await free(), USERS)
  const all = await post('/v1/leases', { count: USERS })
  t.equal(all.json.users?.length, USERS, 'each can be leased again')
})

t.test('the journal says the same: of each user’s leases one begins after the other has ended', async (t) => {
  interface Entry {
    fence: number
    granted_at: string
    ended_at: string | null
  }
  let entries = 0
  for (const id of holdings.keys()) {
    let newer: Entry | undefined
    for (let query = ''; ; ) {
      const path = `/v1/users/${id}/leases?pool=${pool}&limit=1000${query}`
      const { json } = await services[0].call<{ items: Entry[]; next_cursor: string | null }>('GET', path)
      for (const entry of json.items) {
        entries++
        if (newer && !(entry.ended_at && entry.ended_at <= newer.granted_at && entry.fence < newer.fence)) {
          t.fail(`${id}: ${JSON.stringify(entry)} before ${JSON.stringify(newer)}`)
        }
        newer = entry
      }
      if (json.next_cursor === null) break
      query = `&cursor=${json.next_cursor}`
    }
  }
  t.ok(entries >= counts.leases, `${entries} entries`)
})
