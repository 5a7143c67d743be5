import type { Test } from 'tap'
import { stateFromScratch } from '../export/observe.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { exportOf, makeUsers, put, startPair, stateOf, userLines } from './pair.ts'

const t = suite()

const { source, replica } = await startPair(t)
const USERS = sized(1_000, 5_000)
await makeUsers(source.sql, USERS)
await source.sql`
  insert into users (username, email, role, custom_attributes, created_at, updated_at) values
    (' "quoted", 🐉 ', ${'𝒳'.repeat(200)} || '@sub.example.com', E'ro\nle', '{"deep": [1e-7, 1.10, -0.0, "\\u0001"]}', '0001-01-01', '9999-12-31 23:59:59.999999+00'),
    (E'\t', 'tab@x.test', E'\r\n', '{}', now(), now())`

const WHOLE_POOL = { batchId: undefined, testUsersOnly: false, bulkUsersOnly: false }
const NOTHING = { added: 0, updated: 0, deleted: 0 }

/**
 * Checks that the replica equals the source byte for byte, in each filter, and that its stored state is that of its
 * rows.
 */
async function checkEqual(t: Test, what: string) {
  const [there, here] = [await exportOf(source), await exportOf(replica)]
  t.equal(userLines(here).join('\n'), userLines(there).join('\n'), `${what}: the lines`)
  t.equal(await stateOf(replica), await stateOf(source), `${what}: the state`)
  t.equal(await stateFromScratch(replica.sql, 1, WHOLE_POOL), await stateOf(source), `${what}: the rows`)
  for (const filter of ['', '&bulk_users_only=true', '&batch_id=01890000-0000-7000-8000-000000000000']) {
    const path = `/v1/states/current?pool=default${filter}`
    t.same(
      (await replica.call<State>('GET', path)).json.state,
      (await source.call<State>('GET', path)).json.state,
      path,
    )
  }
}

interface State {
  state: string
}

const versionOf = async () =>
  (await replica.sql<{ version: string }[]>`select max(version) as version from states`)[0]?.version

t.test('a full export fills an empty pool, and changes nothing the second time', async (t) => {
  const body = await exportOf(source)
  const state = await stateOf(source)
  t.match(await put(replica.url, body), {
    status: 200,
    json: { kind: 'full', state, total_count: USERS + 2, counts: { added: USERS + 2, updated: 0, deleted: 0 } },
  })
  await checkEqual(t, 'full')
  t.match(await replica.call('GET', '/v1/pools/default'), { json: { replica: 'everything' } }, 'it is a replica now')
  const version = await versionOf()
  t.match(await put(replica.url, body), { status: 200, json: { state, counts: NOTHING } }, 'again')
  t.equal(await versionOf(), version, 'nothing was changed')
})

t.test('deltas transfer swapped names and added, changed, deleted and recreated users', async (t) => {
  const base = await stateOf(source)
  const { sql } = source
  await sql.begin(async (tx) => {
    await tx`update users set username = 'aside', email = 'aside@example.com' where username = 'user1'`
    await tx`update users set username = 'user1', email = 'user1@example.com' where username = 'user2'`
    await tx`update users set username = 'user2', email = 'user2@example.com' where username = 'aside'`
  })
  await sql`delete from users where username in ('user3', 'user4', 'user5')`
  await sql`update users set custom_attributes = '{"n": 1.100}', is_test_user = not is_test_user where username in ('user6', 'user7')`
  await sql`with gone as (delete from users where username = 'user8' returning *)
    insert into users (id, username, email) select id, 'again', email from gone`
  await makeUsers(sql, 10, 'new')
  const delta = await exportOf(source, { base })
  t.match(await put(replica.url, delta), {
    status: 200,
    json: { kind: 'delta', state: await stateOf(source), counts: { added: 10, updated: 5, deleted: 3 } },
  })
  await checkEqual(t, 'delta')

  t.match(
    await put(replica.url, delta),
    {
      status: 409,
      json: { code: 'base_mismatch', state: await stateOf(source) },
    },
    'the same delta again',
  )
  const unchanged = await exportOf(source, { base: await stateOf(source) })
  t.match(await put(replica.url, unchanged), { status: 200, json: { kind: 'unchanged', counts: NOTHING } })
  await checkEqual(t, 'after all changes')

  const onward = await exportOf(replica, { base })
  t.match(
    JSON.parse(onward.split('\n')[0] ?? ''),
    {
      kind: 'delta',
      counts: { added: 10, updated: 5, deleted: 3 },
    },
    'a follower of the replica gets the same delta',
  )
})

t.test('a full export repairs changes that plain SQL made to the replica', async (t) => {
  const { count: deleted } = await replica.sql`delete from users where username like 'user1%'`
  const { count: spoilt } = await replica.sql`update users set role = 'spoilt' where username like 'user2%'`
  await makeUsers(replica.sql, 5, 'foreign')
  const base = await stateOf(source)
  await source.sql`update users set role = 'x' where username = 'user100'`
  t.match(await put(replica.url, await exportOf(source, { base })), {
    status: 409,
    json: { code: 'base_mismatch', state: await stateOf(replica) },
  })
  t.match(await put(replica.url, await exportOf(source)), {
    status: 200,
    json: { counts: { added: deleted, updated: spoilt, deleted: 5 } },
  })
  await checkEqual(t, 'repaired')
})

t.test('an export without users empties the replica', async (t) => {
  await source.sql`delete from users`
  const body = await exportOf(source)
  t.match(await put(replica.url, body), { status: 200, json: { total_count: 0, counts: { added: 0, updated: 0 } } })
  await checkEqual(t, 'empty')
})
