import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/database/connection.ts'
import { type OwnPostgres, startOwnPostgres } from '../faults/own-postgres.ts'
import { type ServerProcess, startServerProcess } from '../server-process.ts'
import { isFull } from '../size.ts'
import { suite } from '../suite.ts'
import { Holdings } from './holdings.ts'
import { addUsers, type Lease } from './pool.ts'

const t = suite()

/*
 * The promise of leases: a user is never with two living holders, and none is lost. Callers of two replicas take, renew and return
 * users. A third of them forgets its lease as if it was killed, and a third sleeps past its time and comes back. Meanwhile replicas and
 * the database are killed, one after the other.
 */

const CALLERS = 200
const SECONDS = Number(process.env['SECONDS']) || 30
const USERS = 120
/** Of a lease, at most. */
const TTL_SECONDS = 3

t.setTimeout((SECONDS + 180) * 1000)

const replicas: ServerProcess[] = []

const faults: string[] = []
const holdings = new Holdings((fault) => faults.push(fault))
const random = (below: number) => Math.floor(Math.random() * below)

/** The status of a response; 0 if there was none. */
interface Answer<Json> {
  status: number
  json: Json
}

/** Sends a request to one of the replicas. */
async function post<Json = Lease>(path: string, body: object): Promise<Answer<Json>> {
  const url = replicas[random(replicas.length)]?.url
  const sent = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  try {
    const response = await fetch(`${url}${path}`, { ...sent, signal: AbortSignal.timeout(20_000) })
    return { status: response.status, json: (await response.json()) as Json }
  } catch {
    return { status: 0, json: undefined as Json }
  }
}

const counts = { leases: 0, forgotten: 0, lost: 0, returned: 0, unanswered: 0 }

/** Uses a lease until `until`, or longer if it is renewed. */
async function use(lease: Lease, until: number): Promise<void> {
  const { id, fence } = lease
  const kind = random(3)
  if (kind === 0) {
    counts.forgotten++
    return
  }
  if (kind === 1) await sleep(Math.max(0, until - performance.now() + random(300) - 100)) // suspended, and back a little before or after the end
  for (let turns = random(3); turns > 0; turns--) {
    await sleep(random(100))
    const [sentAt, ttl_seconds] = [performance.now(), 1 + random(TTL_SECONDS)]
    const { status } = await post(`/v1/leases/${id}/renew`, { fence, ttl_seconds })
    if (status === 409) {
      if (performance.now() < until) faults.push(`lease ${id} is lost ${until - performance.now()} ms before its end`)
      counts.lost++
      return
    }
    // Without a response, the lease ends at the earlier of both times, or at the later one.
    until = status === 200 ? sentAt + ttl_seconds * 1000 : Math.min(until, sentAt + ttl_seconds * 1000)
    holdings.setUntil(lease, until)
  }
  holdings.setUntil(lease, 0)
  const { status } = await post(`/v1/leases/${id}/return`, {
    fence,
    outcome: ['clean', 'dirty', 'consumed'][random(3)],
  })
  if (status === 200) counts.returned++
  else if (status === 409) counts.lost++
  else counts.unanswered++
}

async function caller(): Promise<void> {
  while (!isOver) {
    const [sentAt, ttl_seconds] = [performance.now(), 1 + random(TTL_SECONDS)]
    const order = ['least_used', 'random', 'sequence'][random(3)]
    const body = { count: 1 + random(3), partial: true, ttl_seconds, wait_seconds: random(2), order }
    const { status, json } = await post('/v1/leases', body)
    if (status === 201) {
      counts.leases++
      holdings.take(json, sentAt + ttl_seconds * 1000)
      await use(json, sentAt + ttl_seconds * 1000)
    } else {
      await post('/v1/leases/reset', {})
      await sleep(random(200))
    }
  }
}

let isOver = false

const isEnough = () => counts.leases > USERS && counts.forgotten > 0 && counts.lost > 0 && counts.returned > 0

/** Kills a replica or the database in turns, and starts it again, until the time is over. At least one of each. */
async function killAround(pg: OwnPostgres, startReplica: () => Promise<ServerProcess>): Promise<void> {
  const end = performance.now() + SECONDS * 1000
  for (let kills = 0; kills < 2 || performance.now() < end; kills++) {
    await sleep(4_000)
    if (kills % 2 === 0) {
      const place = random(replicas.length)
      await replicas[place]?.end('SIGKILL')
      replicas[place] = await startReplica()
    } else {
      await pg.kill()
      await pg.start()
    }
  }
  for (const deadline = performance.now() + 60_000; !isEnough() && performance.now() < deadline; ) await sleep(100)
  isOver = true
}

/** Reads from a replica; again if it is overloaded. */
async function get<Json>(path: string): Promise<Json> {
  for (;;) {
    const response = await fetch(`${replicas[0]?.url}${path}`)
    if (response.ok) return (await response.json()) as Json
    await response.body?.cancel()
    await sleep(100)
  }
}

// The small size kills a replica and the database in restart.pg.test.ts, and lets two replicas compete in races.pg.test.ts.
if (isFull)
  t.test('no user is with two holders, none is lost, and the journal says the same', async (t) => {
    const pg = await startOwnPostgres(t)
    const sql = connect({ url: pg.url, schema: 'usersync', connections: 1, name: 'test' })
    t.teardown(() => sql.end({ timeout: 5 }))
    const settings = { DATABASE_URL: pg.url, MAX_WORKERS: '1', ENCRYPTION_KEY: 'e1'.repeat(32) }
    const startReplica = () => startServerProcess(t, settings)
    for (let n = 0; n < 2; n++) replicas.push(await startReplica())
    await addUsers(sql, 'default', USERS)
    await Promise.all([killAround(pg, startReplica), ...Array.from({ length: CALLERS }, caller)])
    t.strictSame(faults.slice(0, 10), [])
    t.ok(isEnough(), JSON.stringify(counts))

    const free = async () => (await get<{ free: number }>('/v1/leases/stats')).free
    for (const deadline = Date.now() + 30_000; (await free()) !== USERS && Date.now() < deadline; ) {
      await post('/v1/leases/reset', {})
      await sleep(100)
    }
    const all = await post('/v1/leases', { count: USERS })
    t.equal(all.json.users?.length, USERS, 'each can be leased again')
    let total = 0
    for (const id of holdings.userIds()) total += await checkJournal(t, id)
    t.ok(total >= counts.leases, `the journal has ${total} entries`)
  })

/** Checks that each lease of a user begins after the one before it has ended. Returns how many there are. */
async function checkJournal(t: { fail(message: string): unknown }, id: string): Promise<number> {
  interface Entry {
    fence: number
    granted_at: string
    ended_at: string | null
  }
  const entries: Entry[] = []
  for (let query = ''; ; ) {
    const page = await get<{ items: Entry[]; next_cursor: string | null }>(`/v1/users/${id}/leases?limit=1000${query}`)
    entries.push(...page.items)
    if (page.next_cursor === null) break
    query = `&cursor=${page.next_cursor}`
  }
  for (const [n, { fence, ended_at }] of entries.entries()) {
    const newer = entries[n - 1]
    if (!newer || (ended_at && ended_at <= newer.granted_at && fence < newer.fence)) continue
    t.fail(`${id}: ${JSON.stringify(entries[n])} before ${JSON.stringify(newer)}`)
  }
  return entries.length
}
