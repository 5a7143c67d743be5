import { createClient } from '../../client/index.ts'
import { sharedService } from '../http/shared-service.ts'
import { between } from '../pull/between.ts'
import { suite } from '../suite.ts'

const t = suite()

/* follow() reads the current state and goes to its address. */

const { url: service, call, sql } = await sharedService(t)
let pools = 0

/** A pool with a user, and a client that follows it through a proxy. */
async function setUp() {
  const pool = `followed-${++pools}`
  await call('POST', '/v1/pools', { body: { name: pool } })
  const [row] = await sql<{ id: number }[]>`select id from pools where name = ${pool}`
  const proxy = await between(t, service)
  const stop = new AbortController()
  const signals: (AbortSignal | null | undefined)[] = []
  const fetched: typeof fetch = (input, init) => {
    signals.push(init?.signal)
    return fetch(input, init)
  }
  const following = createClient({ url: proxy.url, pool, fetch: fetched }).users.follow({
    everyMs: 1,
    signal: stop.signal,
  })
  const add = (name: string) => sql`
    insert into users (pool_id, username, email) values (${row?.id ?? 0}, ${name}, ${`${name}@example.com`})`
  const stateNow = async () => (await call<{ state: string }>('GET', `/v1/states/current?pool=${pool}`)).json.state
  await add('first')
  return { ...proxy, signals, pool, following, stop, add, stateNow }
}

const LOOK_UP = '/v1/states/current'
const short = (state: string) => state.slice(3, 7)

t.test('one request if nothing has changed, two if something has; update() is exact', async (t) => {
  const { following, add, requested, seen, stateNow } = await setUp()
  const first = await stateNow()
  t.match(await following.update(), { kind: 'full', added: [{ username: 'first' }] })
  t.equal(await following.update(), undefined)
  t.strictSame(
    seen.map(({ headers }) => headers['cache-control']),
    ['no-cache', undefined, 'no-cache'],
  )
  t.strictSame(requested(), [LOOK_UP, `/v1/exports/${short(first)}`, LOOK_UP])
  await add('second')
  t.match(await following.update(), { kind: 'delta', added: [{ username: 'second' }] })
  t.strictSame(requested(), [LOOK_UP, `/v1/exports/${short(first)}/${short(await stateNow())}`])
  t.equal(following.state, await stateNow())
})

t.test('caches may answer the loop', async (t) => {
  const { following, stop, seen } = await setUp()
  for await (const _ of following) stop.abort()
  t.strictSame(
    seen.map(({ headers }) => headers['cache-control']),
    [undefined, undefined],
  )
})

t.test('a look-up that is behind: the client goes to the present state, and never back', async (t) => {
  const { following, add, requested, hooks, stateNow } = await setUp()
  const old = await stateNow()
  await add('second')
  await following.update()
  const held = await stateNow()
  await add('third')
  requested()
  hooks.change = (path, passing) =>
    path.startsWith(LOOK_UP) ? { ...passing, body: Buffer.from(JSON.stringify({ state: old })) } : passing
  t.match(await following.update(), { kind: 'delta', added: [{ username: 'third' }] })
  const [from, stale, now] = [held, old, await stateNow()].map(short)
  t.strictSame(requested(), [LOOK_UP, `/v1/exports/${from}/${stale}`, `/v1/exports/${from}/${now}`])
  t.equal(await following.update(), undefined)
  t.strictSame(requested(), [LOOK_UP, `/v1/exports/${now}/${stale}`])
})

t.test('after two addresses that are gone in a row the service decides', async (t) => {
  const { following, add, requested, hooks, stateNow } = await setUp()
  await following.update()
  await add('second')
  requested()
  let more = 0
  hooks.before = async (path) => path.startsWith('/v1/exports/') && (await add(`more${++more}`))
  t.match(await following.update(), { kind: 'delta', added: { length: 3 } })
  t.match(requested(), [LOOK_UP, /^\/v1\/exports\//, /^\/v1\/exports\//, '/v1/users/export'])
  t.equal(following.state, await stateNow())
})

t.test('a service without addresses, and a response that belongs to another address', async (t) => {
  const { following, add, requested, hooks, signals } = await setUp()
  hooks.change = (path, passing) => {
    const { 'usersync-pool-created': _, ...headers } = passing.headers
    return path.startsWith(LOOK_UP) ? { ...passing, headers } : passing
  }
  t.match(await following.update(), { kind: 'full' })
  t.strictSame(requested(), [LOOK_UP, '/v1/users/export'])
  const other = await setUp()
  const strange = await call('GET', `/v1/exports/${await other.stateNow()}?pool=${other.pool}&format=ndjson`)
  hooks.change = (path, passing) =>
    path.startsWith('/v1/exports/') ? { status: 200, headers: strange.headers, body: strange.raw } : passing
  await add('second')
  signals.length = 0
  t.match(await following.update(), { kind: 'full', added: [{ username: 'second' }] })
  t.ok(signals[1]?.aborted, 'the wrong response is not left open')
  t.match(requested(), [LOOK_UP, /^\/v1\/exports\//, '/v1/users/export'])
})
