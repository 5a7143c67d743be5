import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { Stopped } from '../../src/process/shutdown.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'
import { between } from './between.ts'
import { outFolder, pull } from './pull-process.ts'

const t = suite()

/*
 * A pull reads the current state and goes to its address. These were tried, and fail here: an endless walk along addresses that are gone; a
 * response that belongs to another address; the look-up of a single pull from a cache.
 */

const { url: service, call, sql } = await sharedService(t)
const folder = await outFolder(t)
let pools = 0

/** A pool with users, a proxy in front of the service, and a file that is pulled through it. */
async function setUp(t: Test, options: Record<string, string> = {}) {
  const pool = `pulled-${++pools}`
  await call('POST', '/v1/pools', { body: { name: pool } })
  const [row] = await sql<{ id: number }[]>`select id from pools where name = ${pool}`
  const proxy = await between(t, service)
  const out = join(folder, `${pool}.ndjson`)
  const add = (name: string) => sql`
    insert into users (pool_id, username, email) values (${row?.id ?? 0}, ${name}, ${`${name}@example.com`})`
  const round = async (more: Record<string, string> = {}) => {
    const { code, output } = await pull({ url: proxy.url, out, pool, ...options, ...more })
    t.equal(code, 0, output)
    return output
  }
  const stateNow = async () => (await call<{ state: string }>('GET', `/v1/states/current?pool=${pool}`)).json.state
  const isInStep = async () => {
    const text = await readFile(out, 'utf8')
    const query = `pool=${pool}&format=ndjson${options['shard'] ? `&shard=${options['shard']}` : ''}`
    t.equal(text, String((await call('GET', `/v1/users/export?${query}`)).raw), 'the file is the export')
  }
  await add('first')
  await add('second')
  return { ...proxy, pool, out, add, round, stateNow, isInStep }
}

const LOOK_UP = '/v1/states/current'
const short = (state: string) => state.slice(3, 7)

for (const options of [{}, { shard: '1/2' }]) {
  t.test(`one request if nothing has changed, two if something has ${JSON.stringify(options)}`, async (t) => {
    const { add, round, requested, stateNow, isInStep, seen } = await setUp(t, options)
    const first = await stateNow()
    t.match(await round(), /full/)
    t.strictSame(requested(), [LOOK_UP, `/v1/exports/${short(first)}`])
    await isInStep()
    t.match(await round(), /unchanged/)
    t.equal(seen[0]?.headers['cache-control'], 'no-cache', 'a single pull is exact')
    t.strictSame(requested(), [LOOK_UP])
    await add('third')
    t.match(await round(), /delta/)
    t.strictSame(requested(), [LOOK_UP, `/v1/exports/${short(first)}/${short(await stateNow())}`])
    await isInStep()
  })
}

t.test('the look-ups of --every may come from a cache', async (t) => {
  const { url, out, pool, seen } = await setUp(t)
  const stop = new AbortController()
  const ended = pull({ url, out, pool, every: '1s' }, {}, stop.signal)
  while (!(await stat(out).catch(() => undefined))) await new Promise((resolve) => setTimeout(resolve, 10))
  stop.abort(new Stopped('SIGTERM'))
  await ended
  t.equal(seen[0]?.headers['cache-control'], undefined)
})

t.test('a look-up that is behind: the pull goes to the present state, and never back', async (t) => {
  const { add, round, requested, hooks, stateNow, isInStep, out } = await setUp(t)
  const old = await stateNow()
  await add('third')
  const held = await stateNow()
  await round()
  await add('fourth')
  const present = await stateNow()
  requested()
  hooks.change = (path, passing) =>
    path.startsWith(LOOK_UP) ? { ...passing, body: Buffer.from(JSON.stringify({ state: old })) } : passing
  t.match(await round(), /delta/)
  const [from, stale, now] = [held, old, present].map(short)
  t.strictSame(requested(), [LOOK_UP, `/v1/exports/${from}/${stale}`, `/v1/exports/${from}/${now}`])
  await isInStep()
  const before = (await stat(out)).mtimeMs
  t.match(await round(), /unchanged/)
  t.strictSame(requested(), [LOOK_UP, `/v1/exports/${now}/${stale}`])
  t.equal((await stat(out)).mtimeMs, before)
})

t.test('a base that is not remembered leads to the full address', async (t) => {
  const { add, round, requested, stateNow, isInStep, pool } = await setUp(t)
  await round()
  await add('third')
  await sql`delete from states where pool_id = (select id from pools where name = ${pool}) and version < 3`
  requested()
  t.match(await round(), /full/)
  t.strictSame(requested().slice(2), [`/v1/exports/${short(await stateNow())}`])
  await isInStep()
})

t.test('after two addresses that are gone in a row the service decides', async (t) => {
  const { add, round, requested, hooks, isInStep } = await setUp(t)
  await round()
  await add('third')
  requested()
  let more = 0
  hooks.before = async (path) => path.startsWith('/v1/exports/') && (await add(`more${++more}`))
  t.match(await round(), /delta/)
  t.match(requested(), [LOOK_UP, /^\/v1\/exports\//, /^\/v1\/exports\//, '/v1/users/export'])
  await isInStep()
})

t.test('a service without addresses is asked as before', async (t) => {
  const { add, round, requested, hooks, isInStep } = await setUp(t)
  hooks.change = (path, passing) => {
    const { 'usersync-pool-created': _, ...headers } = passing.headers
    return path.startsWith(LOOK_UP) ? { ...passing, headers } : passing
  }
  t.match(await round(), /full/)
  await add('third')
  t.match(await round(), /delta/)
  t.match(await round(), /unchanged/)
  t.strictSame(new Set(requested()), new Set([LOOK_UP, '/v1/users/export']))
  // In a fleet that is being updated, or behind a gateway, only the addresses may be missing.
  hooks.change = (path, passing) => (path.startsWith('/v1/exports/') ? { ...passing, status: 404 } : passing)
  await add('fourth')
  t.match(await round(), /delta/)
  await isInStep()
})

t.test('a response that belongs to another address is not used: the full export comes from the service', async (t) => {
  const { add, round, hooks, isInStep } = await setUp(t)
  const other = await setUp(t)
  await other.add('stranger')
  const strange = await call('GET', `/v1/exports/${await other.stateNow()}?pool=${other.pool}&format=ndjson`)
  hooks.change = (path, passing) =>
    path.startsWith('/v1/exports/') ? { status: 200, headers: strange.headers, body: strange.raw } : passing
  t.match(await round(), /requests the full export: the response belongs to another address/)
  await isInStep()
  await add('third')
  t.match(await round(), /another address/)
  await isInStep()
})
