import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../../src/batches/batches.ts'
import type { Answer } from '../http/service.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'
import { id, importClient } from './import-client.ts'

const t = suite()

/* on_conflict=update: rows that change existing users. */

const service = await sharedService(t)
const { sql, call } = service
const { send, failuresOf, written, poolWith } = importClient(service)

t.test('update: given members change, and the others stay', async (t) => {
  const pool = await poolWith('update')
  const answer = await send(pool, 'update', [
    { username: 'there@example.com', role: 'admin' },
    { username: 'new@example.com', role: 'guest' },
    { id: id(1), username: 'renamed@example.com', created_by_bulk: true },
  ])
  t.match(answer, { status: 201, json: { status: 'completed', created_count: 1, updated_count: 2, failed_count: 0 } })
  t.match((await written(pool)).slice(0, 3), [
    {
      id: id(1),
      username: 'renamed@example.com',
      email: 'there@example.com',
      role: 'admin',
      attributes: '{"n": 1.1}',
      batch_id: null,
      created_by_bulk: true,
    },
    { id: id(2), username: 'real' },
    { username: 'new@example.com', role: 'guest', batch_id: answer.json.id },
  ])
})

t.test('update: an identical row does not change the user, but a different spelling of a number does', async (t) => {
  const pool = await poolWith('same')
  const before = await written(pool)
  const post = (attributes: string) =>
    call('POST', `/v1/users/import?pool=${pool}&on_conflict=update&format=ndjson`, {
      body: `{"username":"there@example.com","email":"there@example.com","custom_attributes":${attributes}}`,
      headers: { 'content-type': 'application/x-ndjson' },
    })
  const exported = async (base = '') =>
    (await call('GET', `/v1/users/export?pool=${pool}&format=ndjson&base=${base}`)).raw.toString().split('\n')
  const { state } = (await call<{ state: string }>('GET', `/v1/states/current?pool=${pool}`)).json
  t.match(await post('{"n":1.1}'), { status: 201, json: { updated_count: 0, skipped_count: 1 } })
  t.strictSame((await written(pool)).slice(0, 2), before)
  t.match(await post('{"n":1.10}'), { status: 201, json: { updated_count: 1, skipped_count: 0 } })
  t.match(
    (await exported(state)).slice(0, 2),
    [/"kind":"delta".*"updated":1/, /\{"n": 1\.10\}/],
    'the change is in the delta',
  )
})

t.test('update: a user that is not a test user is not changed', async (t) => {
  const pool = await poolWith('protected')
  const [, before] = await written(pool)
  const answer = await send(pool, 'update', [
    { id: id(2), username: 'taken-over', email: 'x@example.com' },
    { username: 'real', email: 'x@example.com', role: 'admin' },
    { username: 'x', email: 'real@example.com' },
    { username: 'there@example.com', email: 'real@example.com' },
  ])
  t.match(answer, { status: 201, json: { status: 'completed_with_failures', created_count: 0, failed_count: 4 } })
  t.strictSame(await failuresOf(pool, answer), [
    [1, 'user_protected'],
    [2, 'user_protected'],
    [3, 'email_taken'],
    [4, 'email_taken'],
  ])
  t.strictSame((await written(pool))[1], before)
})

t.test('update: a user that stops being a test user meanwhile is not changed', async (t) => {
  const pool = await poolWith('race')
  let answer: Promise<Answer<Batch>> | undefined
  await sql.begin(async (tx) => {
    await tx`update users u set is_test_user = false from pools p where p.id = u.pool_id and p.name = ${pool}`
    answer = send(pool, 'update', [{ username: 'there@example.com', role: 'admin' }])
    const waits = async () =>
      (await sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).length >
      0
    while (!(await waits())) await sleep(10)
  })
  t.equal((await answer)?.status, 201)
  t.match((await written(pool))[0], { username: 'there@example.com', role: 'user', is_test_user: false })
})

t.test('update: members that a row omits keep what a PATCH changes meanwhile', async (t) => {
  const pool = await poolWith('meanwhile')
  const [{ poolId } = {}] = await sql<{ poolId: number }[]>`select id as "poolId" from pools where name = ${pool}`
  await sql`insert into users (pool_id, id, username, email) values (${poolId ?? 0}, ${id(3)}, 'three', 'three@example.com')`
  let answer: Promise<Answer<Batch>> | undefined
  await sql.begin(async (tx) => {
    await tx`
      update users set role = 'patched', email = 'patched@example.com', batch_id = ${id(9)}, custom_attributes = '{"n": 2}'
      where pool_id = ${poolId ?? 0} and id = ${id(1)}`
    await tx`update users set username = 'renamed' where pool_id = ${poolId ?? 0} and id = ${id(3)}`
    answer = send(pool, 'update', [
      { username: 'there@example.com', created_by_bulk: true },
      { username: 'three', email: 'three@example.com', role: 'imported' },
    ])
    const waits = async () =>
      (await sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).length >
      0
    while (!(await waits())) await sleep(10)
  })
  t.match(await answer, { status: 201, json: { updated_count: 2, failed_count: 0 } })
  const [first, , third] = await written(pool)
  t.match(first, {
    ...{ username: 'there@example.com', email: 'patched@example.com', role: 'patched', batch_id: id(9) },
    ...{ attributes: '{"n": 2}', created_by_bulk: true },
  })
  t.match(third, { username: 'renamed', role: 'imported' })
})

t.test('update: if rows repeat a user, the last one is applied, and none causes an internal error', async (t) => {
  const pool = await poolWith('again')
  const answer = await send(pool, 'update', [
    { username: 'there@example.com', role: 'first' },
    { username: 'there@example.com', role: 'second' },
    { username: 'new@example.com', role: 'first' },
    { username: 'new@example.com', role: 'second' },
    { id: id(3), username: 'three@example.com' },
    { id: id(3), username: 'drei@example.com', role: 'last' },
    { id: id(4), username: 'drei@example.com' },
    { id: id(1), username: 'moved@example.com' },
    { username: 'there@example.com', email: 'y@example.com' },
  ])
  t.match(answer, { status: 201, json: { total_requested: 9, created_count: 3, updated_count: 5, failed_count: 1 } })
  t.strictSame(await failuresOf(pool, answer), [[7, 'username_taken']])
  const rows = await sql`
    select username, role from users u join pools p on p.id = u.pool_id where p.name = ${pool} and is_test_user order by username`
  t.same(rows, [
    { username: 'drei@example.com', role: 'last' },
    { username: 'moved@example.com', role: 'second' },
    { username: 'new@example.com', role: 'second' },
    { username: 'there@example.com', role: 'user' }, // the name was free again
  ])
})

t.test('a user with the last possible updated_at can be changed by an import and a PATCH', async (t) => {
  const pool = await poolWith('last-time')
  const user = { id: id(30), username: 'last@example.com', updated_at: '9999-12-31T23:59:59.999999Z' } // datetime.max
  const other = { id: id(31), username: 'other@example.com' }
  t.match(await send(pool, 'fail', [user, other]), { json: { created_count: 2 } })
  const roles = (role: string) => [
    { ...user, role },
    { ...other, role },
  ]
  t.match(await send(pool, 'update', roles('a')), { status: 201, json: { updated_count: 2, failed_count: 0 } })
  const read = () => call<{ updated_at: string }>('GET', `/v1/users/${user.id}?pool=${pool}`)
  t.ok((await read()).json.updated_at < '9999', 'the time of the change, because there is no later one')
  t.match(await send(pool, 'update', roles('a')), { json: { updated_count: 1, skipped_count: 1 } })
  t.match(await read(), { json: { updated_at: user.updated_at } })
  const patched = await call('PATCH', `/v1/users/${user.id}?pool=${pool}`, { body: { role: 'b' } })
  t.match(patched, { status: 200, json: { role: 'b' } })
})

t.test('update: rows that exchange names have the same result as one row at a time', async (t) => {
  const pool = await poolWith('hands')
  const user = (n: number, name: string) => ({
    id: id(n),
    username: `${name}@example.com`,
    email: `${name}@example.com`,
  })
  await send(pool, 'fail', [user(5, 'a'), user(6, 'b'), user(7, 'c')])
  const swap = await send(pool, 'update', [user(5, 'b'), user(6, 'a')])
  t.match(swap.json, { updated_count: 0, failed_count: 2 }, 'each name is still taken when its row is applied')
  t.strictSame(await failuresOf(pool, swap), [
    [1, 'username_taken'],
    [2, 'username_taken'],
  ])
  const shift = await send(pool, 'update', [user(7, 'd'), user(6, 'c'), user(5, 'b'), user(8, 'a')])
  t.match(
    shift.json,
    { created_count: 1, updated_count: 3, failed_count: 0 },
    'each name is free when its row is applied',
  )
  const ring = await send(pool, 'update', [user(5, 'x'), user(6, 'b'), user(7, 'c'), { ...user(5, 'd'), role: 'last' }])
  t.match(ring.json, { updated_count: 4, failed_count: 0 })
  t.match((await written(pool)).slice(2, 6), [
    { username: 'd@example.com', role: 'last' },
    { username: 'b@example.com' },
    { username: 'c@example.com' },
    { username: 'a@example.com' },
  ])
})

t.test('update: imports that change the same users in opposite orders both succeed', async (t) => {
  const pool = await poolWith('opposite')
  const names = ['a', 'b', 'c'].map((name) => `${name}@example.com`)
  await send(
    pool,
    'fail',
    names.map((username) => ({ username })),
  )
  // A user that is named twice ends a page, so the users are locked in the order of the rows.
  const rows = (...order: number[]) =>
    order.flatMap((n) => [names[n], names[n]]).map((username, n) => ({ username, role: `r${n}` }))
  const waiting = async (behind: number) => {
    for (const deadline = Date.now() + 20_000; Date.now() < deadline; await sleep(10)) {
      const [row] = await sql<{ pid: number }[]>`
        select pid from pg_stat_activity where ${behind}::int = any(pg_blocking_pids(pid)) limit 1`
      if (row) return row.pid
    }
    throw new Error(`nothing waits for process ${behind}`)
  }
  const imports = await sql.begin(async (tx) => {
    const [holder] = await tx<{ pid: number }[]>`
      select pg_backend_pid() as pid from users where username = ${names[1] ?? ''} for update`
    const forth = send(pool, 'update', rows(0, 1, 2))
    const first = await waiting(holder?.pid ?? 0)
    const back = send(pool, 'update', rows(2, 0))
    await waiting(first)
    return [forth, back]
  })
  for (const answer of await Promise.all(imports)) t.match(answer, { status: 201, json: { failed_count: 0 } })
})
