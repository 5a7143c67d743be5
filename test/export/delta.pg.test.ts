import type { Test } from 'tap'
import type { Batch } from '../../src/batches/batches.ts'
import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { applyExport, type Held } from './apply-export.ts'
import { NOTHING } from './observe.ts'

const t = suite()

/* Deltas over HTTP, after changes over HTTP and by plain SQL. Random histories are in state-capture.pg.test.ts. */

const { sql, call } = await sharedService(t)

interface Delta {
  kind: string
  reason: string | null
  base: string
  state: string
  total_count: number
  counts: { added: number; updated: number; deleted: number }
  added: { id: string; username: string; role: string }[]
  updated: { id: string; username: string; role: string }[]
  deleted: string[]
}

/** Creates a pool with users. Returns its id, and functions to read and change it. */
async function poolWith(name: string, ...usernames: string[]) {
  const [pool] = await sql<{ id: number }[]>`insert into pools (name) values (${name}) returning id`
  const poolId = pool?.id ?? 0
  const insert = (username: string, batchId: string | null = null) => sql`
    insert into users (pool_id, username, email, batch_id) values (${poolId}, ${username}, ${`${username}@example.com`}, ${batchId})`
  for (const username of usernames) await insert(username)
  const idOf = async (username: string) => {
    const [row] = await sql<{ id: string }[]>`select id from users where pool_id = ${poolId} and username = ${username}`
    return row?.id ?? ''
  }
  const hold = async (held: Held, query = '') => {
    const base = held.state === undefined ? '' : `&base=${held.state}`
    const { raw } = await call('GET', `/v1/users/export?pool=${name}&format=ndjson${query}${base}`)
    return applyExport(held, raw.toString())
  }
  const delta = async (base: Held, query = '') =>
    (await call<Delta>('GET', `/v1/users/export?pool=${name}${query}&base=${base.state}`)).json
  const makeBatch = async (count: number, pattern: string) => {
    const body = {
      count,
      pool: name,
      config: { username_pattern: pattern, password_hash: { algorithm: 'none' }, chunk_size: 4 },
    }
    return (await call<Batch>('POST', '/v1/batches', { body, headers: { prefer: 'wait=30' } })).json
  }
  return { poolId, name, insert, idOf, hold, delta, makeBatch }
}

/** Checks that a delta, in both formats, leads from `base` to the current state. Returns the JSON. */
async function checkDelta(t: Test, pool: Awaited<ReturnType<typeof poolWith>>, base: Held, query = '') {
  const present = (await pool.hold(NOTHING, query)).held
  const { head, held } = await pool.hold(base, query)
  const sorted = (lines: Map<string, string>) => new Map([...lines].toSorted())
  t.strictSame(sorted(held.lines), sorted(present.lines))
  const json = await pool.delta(base, query)
  t.match(json, {
    kind: 'delta',
    reason: null,
    base: base.state,
    state: present.state,
    total_count: present.lines.size,
  })
  t.match(head, { kind: 'delta', base: base.state, state: present.state, counts: json.counts })
  t.strictSame(json.counts, { added: json.added.length, updated: json.updated.length, deleted: json.deleted.length })
  t.ok(
    json.added.every(({ id }) => !base.lines.has(id)),
    'added users were not in the base',
  )
  t.ok(
    json.updated.every(({ id }) => base.lines.has(id)),
    'updated users were in the base',
  )
  t.ok(
    json.deleted.every((id) => base.lines.has(id) && !present.lines.has(id)),
    'deleted users were in the base and are no longer present',
  )
  return json
}

const namesIn = (users: { username: string }[]) => users.map(({ username }) => username).toSorted()

t.test('a delta over each step and a delta over all steps are exact', async (t) => {
  const pool = await poolWith('steps', 'anna', 'berta', 'carla')
  const old = await pool.makeBatch(6, 'old_{n}')
  const start = (await pool.hold(NOTHING)).held

  await call('PATCH', `/v1/users/${await pool.idOf('berta')}?pool=steps`, { body: { role: 'buyer' } })
  const patched = await checkDelta(t, pool, start)
  t.match(patched, { counts: { added: 0, updated: 1, deleted: 0 }, updated: [{ username: 'berta', role: 'buyer' }] })

  const afterPatch = (await pool.hold(start)).held
  await pool.makeBatch(9, 'new_{n}')
  const withBatch = await checkDelta(t, pool, afterPatch)
  t.match(withBatch.counts, { added: 9, updated: 0, deleted: 0 })
  t.strictSame(
    namesIn(withBatch.added),
    Array.from({ length: 9 }, (_, n) => `new_${n + 1}`),
  )

  const afterBatch = (await pool.hold(afterPatch)).held
  await call('DELETE', `/v1/batches/${old.id}?pool=steps`)
  const withoutOld = await checkDelta(t, pool, afterBatch)
  t.match(withoutOld.counts, { added: 0, updated: 0, deleted: 6 })

  const passing = await pool.makeBatch(3, 'passing_{n}')
  await call('DELETE', `/v1/batches/${passing.id}?pool=steps`)
  const whole = await checkDelta(t, pool, start)
  t.strictSame(
    whole.counts,
    { added: 9, updated: 1, deleted: 6 },
    'a user created and deleted since the base is in no delta',
  )
  await checkDelta(t, pool, { state: `u1-${'0'.repeat(64)}`, lines: new Map() })
})

t.test('changes by plain SQL are in the next delta', async (t) => {
  const pool = await poolWith('plain', 'anna', 'berta', 'carla', 'dora')
  const base = (await pool.hold(NOTHING)).held
  const inPool = sql`pool_id = ${pool.poolId}`
  await pool.insert('emil')
  await sql`update users set role = 'guest' where ${inPool} and username = 'anna'`
  await sql`update users set username = 'berta2' where ${inPool} and username = 'berta'`
  const gone = await pool.idOf('carla')
  await sql`delete from users where ${inPool} and username = 'carla'`
  const delta = await checkDelta(t, pool, base)
  t.strictSame([namesIn(delta.added), namesIn(delta.updated), delta.deleted], [['emil'], ['anna', 'berta2'], [gone]])
})

t.test('a number in a different spelling is a different line, and is in the delta', async (t) => {
  const pool = await poolWith('numbers', 'anna')
  await sql`update users set custom_attributes = '{"n": 1.1}' where pool_id = ${pool.poolId}`
  const base = (await pool.hold(NOTHING)).held
  await sql`update users set custom_attributes = '{"n": 1.10}' where pool_id = ${pool.poolId}`
  t.strictSame((await checkDelta(t, pool, base)).counts, { added: 0, updated: 1, deleted: 0 })
})

t.test('a user that moves into a filter is added to it, and one that leaves is deleted from it', async (t) => {
  const pool = await poolWith('moves', 'anna', 'berta')
  const A = '01890000-0000-7000-8000-00000000000a'
  const B = '01890000-0000-7000-8000-00000000000b'
  for (const [name, batch] of [
    ['carla', A],
    ['dora', B],
    ['emil', A],
  ] as const)
    await pool.insert(name, batch)
  const [ofPool, ofA, ofB] = [
    (await pool.hold(NOTHING)).held,
    (await pool.hold(NOTHING, `&batch_id=${A}`)).held,
    (await pool.hold(NOTHING, `&batch_id=${B}`)).held,
  ]
  await sql`update users set batch_id = ${B} where pool_id = ${pool.poolId} and username in ('anna', 'carla')`
  t.strictSame((await checkDelta(t, pool, ofPool)).counts, { added: 0, updated: 2, deleted: 0 })
  const a = await checkDelta(t, pool, ofA, `&batch_id=${A}`)
  t.strictSame([a.counts, a.deleted], [{ added: 0, updated: 0, deleted: 1 }, [await pool.idOf('carla')]])
  const b = await checkDelta(t, pool, ofB, `&batch_id=${B}`)
  t.strictSame([namesIn(b.added), b.deleted, b.updated], [['anna', 'carla'], [], []])

  await sql`update users set is_test_user = false where pool_id = ${pool.poolId} and username = 'dora'`
  const withoutDora = await checkDelta(t, pool, ofPool)
  t.strictSame(
    withoutDora.deleted,
    [await pool.idOf('dora')],
    'a user that is no longer a test user has left the filter',
  )
  const all = (await pool.hold(NOTHING, '&test_users_only=false')).held
  t.equal(all.lines.size, 5)
})

t.test('a deleted and recreated user is updated, and restored content restores the old state', async (t) => {
  const pool = await poolWith('returns', 'anna', 'berta')
  const base = (await pool.hold(NOTHING)).held
  const id = await pool.idOf('anna')
  const [row] = await sql`select * from users where pool_id = ${pool.poolId} and id = ${id}`
  await sql`delete from users where pool_id = ${pool.poolId} and id = ${id}`
  const without = (await pool.hold(base)).held
  await sql`insert into users (pool_id, id, username, email) values (${pool.poolId}, ${id}, 'anna', 'anna@example.com')`
  const again = await checkDelta(t, pool, base)
  t.match(again, { counts: { added: 0, updated: 1, deleted: 0 }, updated: [{ id, username: 'anna' }] })
  await sql`update users set created_at = ${row?.['created_at']}, updated_at = ${row?.['updated_at']} where pool_id = ${pool.poolId} and id = ${id}`
  t.equal((await pool.hold(NOTHING)).held.state, base.state)
  t.match(await pool.delta(base), { kind: 'unchanged', added: [], updated: [], deleted: [] })
  t.match(await checkDelta(t, pool, without), { counts: { added: 1, updated: 0, deleted: 0 } })
})

t.test('a user created, deleted and created again since the base is added', async (t) => {
  const pool = await poolWith('guests', 'anna')
  const base = (await pool.hold(NOTHING)).held
  const id = '01890000-0000-7000-8000-00000000000c'
  const come = () =>
    sql`insert into users (pool_id, id, username, email) values (${pool.poolId}, ${id}, 'carla', 'carla@example.com')`
  await sql`update users set role = 'guest' where pool_id = ${pool.poolId}` // otherwise the base's state would come back, too
  await come()
  await sql`delete from users where pool_id = ${pool.poolId} and id = ${id}`
  await come()
  t.match(await checkDelta(t, pool, base), { counts: { added: 1, updated: 1, deleted: 0 }, added: [{ id }] })
})

/** As many deletions as one fetch of the cursor reads at full size. */
const MANY = sized(2_000, 5_000)

t.test('the size of a delta depends on the change, not on the pool', async (t) => {
  const pool = await poolWith('large')
  await sql`
    insert into users (pool_id, username, email) select ${pool.poolId}::int, 'l' || n, 'l' || n || '@example.com' from generate_series(1, ${MANY}::int) n`
  const base = (await pool.hold(NOTHING)).held
  await sql`update users set role = 'guest' where pool_id = ${pool.poolId} and username in ('l7', 'l1711')`
  const full = await call('GET', '/v1/users/export?pool=large&format=ndjson')
  const delta = await call('GET', `/v1/users/export?pool=large&format=ndjson&base=${base.state}`)
  t.ok(delta.raw.length < full.raw.length / 100, `${delta.raw.length} of ${full.raw.length} bytes`)
  await sql`update users set role = 'all' where pool_id = ${pool.poolId}`
  t.match(
    (await checkDelta(t, pool, base)).counts,
    { added: 0, updated: MANY, deleted: 0 },
    'more rows than one fetch of the cursor',
  )
  await sql`delete from users where pool_id = ${pool.poolId}`
  t.match((await checkDelta(t, pool, base)).counts, { added: 0, updated: 0, deleted: MANY })
})
