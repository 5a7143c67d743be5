import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../../src/batches/batches.ts'
import { sharedService } from '../http/shared-service.ts'
import { openTransaction } from '../open-transaction.ts'
import { suite } from '../suite.ts'

const t = suite()

const { call, sql } = await sharedService(t)

type Answer = Batch & { code?: string; detail?: string; errors?: { path: string }[]; batch_id?: string }

const NO_HASH = { password_hash: { algorithm: 'none' } }
const POPULATION = { seed: 'spring', epoch: '2026-01-31T12:00:00Z', totp: true, ...NO_HASH }

async function newPool(name: string): Promise<string> {
  await call('POST', '/v1/pools', { body: { name } })
  return name
}

const create = (pool: string, config: object, count = 40) =>
  call<Answer>('POST', `/v1/batches?pool=${pool}`, { body: { count, config }, headers: { prefer: 'wait=30' } })

async function exported(pool: string): Promise<{ state: string; lines: string[] }> {
  const { raw } = await call('GET', `/v1/users/export?pool=${pool}&format=ndjson&include=password,totp_secret`)
  const [head = '{}', ...lines] = raw.toString().trim().split('\n')
  return { state: JSON.parse(head).state, lines }
}

t.test('the same seed, epoch and settings produce the same users and state, however the work is divided', async (t) => {
  const one = await create(await newPool('population-one'), { ...POPULATION, chunk_size: 3, max_workers: 1 })
  await create(await newPool('population-two'), NO_HASH, 7) // takes user numbers and credential ids
  await call(
    'DELETE',
    `/v1/batches/${(await call<{ items: Batch[] }>('GET', '/v1/batches?pool=population-two')).json.items[0]?.id}?pool=population-two`,
  )
  const two = await create('population-two', { ...POPULATION, epoch: '2026-01-31T13:00:00.000+01:00', chunk_size: 20 })
  t.match([one.status, two.status], [201, 201])
  t.match(two.json, {
    id: one.json.id,
    state: one.json.state,
    config: { seed: 'spring', epoch: '2026-01-31T12:00:00.000Z' },
  })
  const [left, right] = [await exported('population-one'), await exported('population-two')]
  t.equal(left.state, right.state)
  t.strictSame(left.lines, right.lines, 'with the generated passwords')
  const user = JSON.parse(left.lines[0] ?? '{}')
  t.match(user, { created_at: '2026-01-31T12:00:00.000000Z', updated_at: '2026-01-31T12:00:00.000000Z' })
  t.match(user.username, /^testuser_[0-9a-f]{10}_\d+@example\.com$/)
})

t.test('another seed, epoch, count or setting makes another population', async (t) => {
  const pool = await newPool('population-others')
  const others: [object, number?][] = [
    [POPULATION],
    [{ ...POPULATION, seed: 'autumn' }],
    [{ ...POPULATION, epoch: '2026-01-31T12:00:00.001Z' }],
    [{ ...POPULATION, role: 'admin' }],
    [{ ...POPULATION, password_mode: 'per_user' }],
    [POPULATION, 41],
    [{ epoch: POPULATION.epoch, ...NO_HASH }],
    [{ epoch: POPULATION.epoch, ...NO_HASH }],
  ]
  const batches = []
  for (const [config, count] of others) batches.push(await create(pool, config, count))
  t.strictSame(new Set(batches.map(({ status }) => status)), new Set([201]))
  t.equal(new Set(batches.map(({ json }) => json.id)).size, others.length)
})

t.test('a population that a pool already has is refused with the address of its batch', async (t) => {
  const pool = await newPool('population-twice')
  const first = await create(pool, POPULATION)
  const second = await create(pool, { ...POPULATION, max_workers: 1, chunk_size: 7 })
  t.match(second, { status: 409, json: { code: 'population_exists', batch_id: first.json.id } })
  t.match(second.headers.location, `/v1/batches/${first.json.id}`)
})

/** Waits until `count` statements that contain `text` wait for a lock. */
async function untilBlocked(text: string, count: number): Promise<void> {
  const blocked = () => sql`
    select from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' and position(${text} in query) > 0`
  for (const deadline = Date.now() + 30_000; (await blocked()).length < count; await sleep(10)) {
    if (Date.now() > deadline) throw new Error(`fewer than ${count} statements with ${text} wait`)
  }
}

t.test('two requests at once for one population, with one Idempotency-Key, get one batch', async (t) => {
  const pool = await newPool('population-key')
  const other = await openTransaction(t, sql)
  await other`select from pools where name = ${pool} for no key update` // both wait for it, and neither has found the key
  const post = () =>
    call<Answer>('POST', `/v1/batches?pool=${pool}`, {
      body: { count: 4, config: POPULATION },
      headers: { 'idempotency-key': 'once', prefer: 'wait=30' },
    })
  const both = [post(), post()]
  await untilBlocked('next_user_number', 2)
  await other.rollback()
  const [one, two] = await Promise.all(both)
  t.match([one?.status, two?.status], [201, 201])
  t.equal(one?.json.id, two?.json.id)
})

t.test('a population does not wait for the same population in another pool', async (t) => {
  const [held, free] = [await newPool('population-held'), await newPool('population-free')]
  const config = { ...POPULATION, username_pattern: 'apart_{n}' }
  const other = await openTransaction(t, sql)
  await other`
    insert into users (pool_id, username, email) select id, 'apart_1', 'apart@example.com' from pools where name = ${held}`
  await call('POST', `/v1/batches?pool=${held}`, { body: { count: 4, config } })
  await untilBlocked('insert into users', 1)
  t.match(await create(free, config, 4), { status: 201, json: { created_count: 4 } })
  await other.rollback()
})

t.test('users of a population whose ids an import has brought are listed as failures', async (t) => {
  const [from, to] = [await newPool('population-from'), await newPool('population-to')]
  const first = await create(from, POPULATION, 3)
  const { raw } = await call('GET', `/v1/users/export?pool=${from}&format=ndjson`)
  const [body, headers] = [raw.toString(), { 'content-type': 'application/x-ndjson' }]
  t.match(await call('POST', `/v1/users/import?pool=${to}`, { body, headers }), { status: 201 })
  const second = await create(to, POPULATION, 3)
  t.match(second.json, { id: first.json.id, status: 'completed_with_failures', created_count: 0, failed_count: 3 })
  const { json } = await call('GET', `/v1/batches/${first.json.id}/failures?pool=${to}`)
  t.match(json, { items: [1, 2, 3].map((n) => ({ n, code: 'username_taken' })) })
})

t.test('a deleted population can be created again, with the same logins', async (t) => {
  for (const mode of ['shared', 'per_user']) {
    const pool = await newPool(`population-again-${mode.replace('_', '-')}`)
    const config = { ...POPULATION, password_mode: mode }
    const first = await create(pool, config)
    const before = await exported(pool)
    await call('DELETE', `/v1/batches/${first.json.id}?pool=${pool}`)
    t.not((await exported(pool)).state, before.state)
    t.match(await create(pool, config), { status: 201, json: { id: first.json.id, created_count: 40 } })
    t.strictSame(await exported(pool), before)
  }
})

t.test('a deletion that meets the replacement of a deleted population finds the new batch', async (t) => {
  const pool = await newPool('population-replaced')
  const { id } = (await create(pool, POPULATION, 2)).json
  const remove = () => call('DELETE', `/v1/batches/${id}?pool=${pool}`)
  await remove()
  const other = await openTransaction(t, sql)
  await other`
    with old as (delete from batches b using pools p where p.id = b.pool_id and p.name = ${pool} and b.id = ${id} returning b.*)
    insert into batches select * from old`
  const again = remove()
  await untilBlocked('from batches where pool_id', 1)
  await other.commit()
  t.match(await again, { status: 200, json: { id, deleted_count: 0 } })
})

t.test('another password for a deleted population is refused, because the state would not show it', async (t) => {
  const pool = await newPool('population-password')
  const first = await create(pool, { ...POPULATION, password: 'TestPass123!' })
  await call('DELETE', `/v1/batches/${first.json.id}?pool=${pool}`)
  t.match(await create(pool, { ...POPULATION, password: 'TestPass124!' }), {
    status: 409,
    json: { code: 'population_exists', detail: /another password/ },
  })
  t.match(await create(pool, { ...POPULATION, password: 'TestPass123!' }), { status: 201 })
})

t.test('an invalid epoch, or {id} beside an epoch, is refused with its path', async (t) => {
  const pool = await newPool('population-refused')
  for (const epoch of [
    '',
    'today',
    '2026-02-30T00:00:00Z',
    '1969-12-31T23:59:59Z',
    '2026-01-31',
    '2026-01-31T00:00:00',
  ]) {
    t.match(await create(pool, { epoch }), { status: 400, json: { errors: [{ path: 'body.config.epoch' }] } }, epoch)
  }
  const refused = await create(pool, { ...POPULATION, username_pattern: 'u{id}' })
  t.match(refused, { status: 400, json: { errors: [{ path: 'body.config.username_pattern', message: /\{n\}/ }] } })
  t.match((await call<{ items: Batch[] }>('GET', `/v1/batches?pool=${pool}`)).json.items, [])
})
