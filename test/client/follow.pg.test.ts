import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { type Change, createClient, type Following, UsersyncError } from '../../client/index.ts'
import { startProxy } from '../database-proxy.ts'
import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/* follow() against the service: deltas of every kind, damaged ones, and a service that goes away. */

const service = await sharedService(t)
const { url, sql } = service

/** Creates a pool with the test users u1 to u<count>, by plain SQL. */
async function newPool(count: number) {
  const pool = `follow-${randomUUID()}`
  await createClient({ url }).request('createPool', { body: { name: pool } })
  const [row] = await sql<{ id: string }[]>`select id from pools where name = ${pool}`
  const poolId = row?.id ?? ''
  await sql`
    insert into users (pool_id, username, email)
    select ${poolId}, 'u' || n, 'u' || n || '@example.com' from generate_series(1, ${count}) n`
  return { pool, poolId, client: createClient({ url, pool }) }
}

const names = (users: Iterable<{ username: string }>) => [...users].map(({ username }) => username).toSorted()
const summary = (change: Change | undefined) =>
  change && {
    kind: change.kind,
    added: names(change.added),
    updated: names(change.updated),
    deleted: names(change.deleted),
  }

/** Fails unless the users are exactly those of the service. */
async function checkInStep(t: { strictSame(...args: unknown[]): unknown }, following: Following, pool: string) {
  const client = createClient({ url, pool })
  const present = await Array.fromAsync(client.users.export())
  t.strictSame(
    [...following.users.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    present,
  )
  t.strictSame(following.state, (await client.request('getCurrentState')).state)
}

t.test('each kind of change arrives as what it is', async (t) => {
  const { client, pool, poolId } = await newPool(4)
  const following = client.users.follow()
  t.match(summary(await following.update()), {
    kind: 'full',
    added: ['u1', 'u2', 'u3', 'u4'],
    updated: [],
    deleted: [],
  })
  t.equal(await following.update(), undefined, 'nothing has changed')
  await sql`update users set role = 'vip' where pool_id = ${poolId} and username = 'u1'`
  await sql`delete from users where pool_id = ${poolId} and username in ('u2', 'u3')`
  await sql`insert into users (pool_id, username, email) values (${poolId}, 'u5', 'u5@example.com')`
  await sql`update users set is_test_user = false where pool_id = ${poolId} and username = 'u4'` // leaves the filter
  const change = await following.update()
  t.strictSame(summary(change), { kind: 'delta', added: ['u5'], updated: ['u1'], deleted: ['u2', 'u3', 'u4'] })
  t.match(change, { updated: [{ role: 'vip' }] })
  await checkInStep(t, following, pool)
  await sql`delete from users where pool_id = ${poolId} and is_test_user`
  t.match(await following.update(), { added: [], updated: [], deleted: { length: 2 } })
  t.match([following.users.size, following.state], [0, `u1-${'0'.repeat(64)}`])
})

t.test('a user that is deleted and made again, and one that is changed and changed back', async (t) => {
  const { client, pool, poolId } = await newPool(2)
  const following = client.users.follow()
  await following.update()
  await sql`with gone as (delete from users where pool_id = ${poolId} and username = 'u1' returning id)
    select id from gone`.then(
    ([gone]) => sql`insert into users (id, pool_id, username, email, role)
      values (${gone?.['id']}, ${poolId}, 'u1', 'u1@example.com', 'again')`,
  )
  t.strictSame(summary(await following.update()), { kind: 'delta', added: [], updated: ['u1'], deleted: [] })
  await checkInStep(t, following, pool)
})

t.test('whatever is written between two requests, the users are those of the service', async (t) => {
  const { client, pool, poolId } = await newPool(5)
  const following = client.users.follow()
  const user = fc.integer({ min: 1, max: 8 })
  const write = fc.oneof(
    user.map(
      (n) => sql`insert into users (pool_id, username, email)
      values (${poolId}, ${`u${n}`}, ${`u${n}@example.com`}) on conflict do nothing`,
    ),
    fc.tuple(user, fc.string({ unit: 'grapheme', minLength: 1, maxLength: 9 })).map(
      ([n, text]) => sql`
      update users set custom_attributes = jsonb_build_object('text', ${text.replaceAll('\0', '')}::text)
      where pool_id = ${poolId} and username = ${`u${n}`}`,
    ),
    user.map((n) => sql`delete from users where pool_id = ${poolId} and username = ${`u${n}`}`),
  )
  const round = fc.asyncProperty(fc.array(write, { maxLength: 6 }), async (writes) => {
    for (const statement of writes) await statement
    await following.update()
    return following.state === (await client.request('getCurrentState')).state
  })
  await fc.assert(round, { numRuns: sized(10, 60), endOnFailure: true })
  await checkInStep(t, following, pool)
})

t.test('logins come with their users, and the state is still checked', async (t) => {
  const { client } = await newPool(0)
  await client.batches.create(
    { count: 3, config: { password: 'TestPass123!', password_hash: { algorithm: 'none' } } },
    { waitSeconds: 60 },
  )
  const following = client.users.follow({ include: 'password' })
  const change = await following.update()
  t.strictSame(
    change?.added.map(({ password }) => password),
    Array(3).fill('TestPass123!'),
  )
  const [first] = following.users.values()
  await client.users.update(first?.id ?? '', { custom_attributes: { text: '","updated_at":"' } })
  t.match(await following.update(), { kind: 'delta', updated: [{ password: 'TestPass123!' }] })
})

/** Answers with what `damage` makes of each export. */
const damaging =
  (damage: (lines: string[]) => string[]): typeof fetch =>
  async (...request) => {
    const response = await fetch(...request)
    if (!String(request[0]).includes('/export') || response.status === 304) return response
    const { status, headers } = response
    return new Response(damage((await response.text()).split('\n')).join('\n'), { status, headers })
  }

t.test('a delta that does not lead to its state is not applied: the full set is requested', async (t) => {
  const { client, pool, poolId } = await newPool(3)
  let damage = (lines: string[]) => lines
  const wrong = createClient({ url, pool, fetch: damaging((lines) => damage(lines)) })
  const following = wrong.users.follow()
  await following.update()
  const [state, before] = [following.state, names(following.users.values())]
  await sql`update users set role = 'vip' where pool_id = ${poolId} and username = 'u1'`
  await sql`delete from users where pool_id = ${poolId} and username = 'u3'`

  damage = (lines) => lines.map((line) => line.replace('"role":"vip"', '"role":"viq"'))
  t.match(await following.update().catch((error) => error), { code: 'state_mismatch', isRetryable: false })
  t.strictSame([following.state, names(following.users.values())], [state, before], 'the full set was damaged too')

  damage = (lines) => (lines[0]?.includes('"delta"') ? lines.filter((line) => !line.startsWith('{"deleted"')) : lines)
  t.strictSame(summary(await following.update()), { kind: 'full', added: [], updated: ['u1'], deleted: ['u3'] })
  await checkInStep(t, following, pool)
  t.ok(client)
})

t.test('an export that is cut is not applied, wherever it is cut', async (t) => {
  const { pool } = await newPool(3)
  for (let kept = 0; kept < 5; kept++) {
    const cut = createClient({ url, pool, fetch: damaging((lines) => lines.slice(0, kept)) })
    const following = cut.users.follow()
    t.match(await following.update().catch((error) => error), { code: 'export_cut', isRetryable: true })
    t.match([following.state, following.users.size], [undefined, 0])
    t.match(await Array.fromAsync(cut.users.export()).catch((error) => error), { code: 'export_cut' })
  }
})

t.test('the loop goes on when the service is back, and ends with its signal', async (t) => {
  const { pool, poolId } = await newPool(2)
  const proxy = await startProxy(t, Number(new URL(url).port))
  const stop = new AbortController()
  const client = createClient({ url: `http://127.0.0.1:${proxy.port}`, pool, attempts: 1 })
  const following = client.users.follow({ everyMs: 5, signal: stop.signal })
  const seen: string[][] = []
  for await (const change of following) {
    seen.push(names(change.added))
    if (seen.length === 1) {
      await proxy.cut()
      await sql`insert into users (pool_id, username, email) values (${poolId}, 'u3', 'u3@example.com')`
      setTimeout(() => void proxy.restore(), 30)
    } else stop.abort()
  }
  t.strictSame(seen, [['u1', 'u2'], ['u3']])
  await checkInStep(t, following, pool)
})

t.test('the loop throws what does not pass, and at the end of its patience what does', async (t) => {
  const first = async (following: Following) => {
    for await (const change of following) return change
    return undefined
  }
  const unknown = createClient({ url, pool: 'unknown' }).users.follow({ everyMs: 1 })
  t.match(await first(unknown).catch((error) => error), { code: 'pool_not_found' })
  const nobody = createClient({ url: 'http://127.0.0.1:9', attempts: 1 }).users.follow({ everyMs: 1, patienceMs: 20 })
  const error = await first(nobody).catch((error) => error)
  t.ok(error instanceof UsersyncError)
  t.equal(error.code, 'unreachable')
})

t.test('a pool that is created again with the same users and other passwords', async (t) => {
  const pool = `follow-${randomUUID()}`
  const client = createClient({ url, pool })
  const make = async (password: string) => {
    await client.request('createPool', { body: { name: pool } })
    const config = { seed: 'again', epoch: '2026-01-01T00:00:00Z', username_pattern: 'u{n}', password }
    const batch = await client.batches.create({ count: 2, config })
    await client.batches.finished(batch.id)
    return batch.id
  }
  const first = await make('first-password')
  const following = client.users.follow({ include: 'password' })
  await following.update()
  const { state } = following
  await client.batches.delete(first)
  await client.request('deletePool', { path: { name: pool } })
  await make('second-password')
  t.match(summary(await following.update()), { kind: 'full', added: [], updated: ['u1', 'u2'], deleted: [] })
  t.equal(following.state, state, 'the state is the same, because it says nothing about passwords')
  t.ok([...following.users.values()].every(({ password }) => password === 'second-password'))
})
