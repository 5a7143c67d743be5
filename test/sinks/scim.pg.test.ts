import type { Test } from 'tap'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { type ScimServer, startScim, TOKEN } from './scim-server.ts'
import { sinkRoutes, sinkService } from './sink.ts'

const t = suite()

/* Users at real SCIM servers, from their creation to their removal: with bulk requests, with small ones, and without. */

const USERS = sized(60, 2_000)
const SMALL_BULK = { 'small-bulk': { BULK: '7', BULK_BYTES: '2500' } }
/** In the small size, the example for SCIM sends large bulk requests, and scim-faults.pg.test.ts sends none. */
const SERVERS = sized<Record<string, Record<string, string>>>(SMALL_BULK, {
  bulk: {},
  ...SMALL_BULK,
  single: { BULK: '0' },
})
t.setTimeout(600_000)

const service = await sinkService(t)
const { sql } = service
const { create, sync, clear, failures, status, batch } = sinkRoutes(service)
const servers = await Promise.all(
  Object.entries(SERVERS).map(async ([name, settings]) => ({ name, server: await startScim(t, settings) })),
)
const [before] = servers.map(({ server }) => server.users())
let first = new Map<string, Map<string | null, number>>()

const theirs = (server: ScimServer) => server.users().filter(({ external_id }) => external_id === null)

/** Runs all targets, and compares their users with the export. */
async function syncAll(t: Test, what: string, outcome: object, members = {}): Promise<void> {
  const wanted = await sql`select id as external_id, username, email, role from users order by username collate "C"`
  await Promise.all(
    servers.map(async ({ name, server }) => {
      t.match(await sync(name, members), { status: 'succeeded', failure: null, ...outcome }, `${name}: ${what}`)
      t.strictSame(server.ours(), [...wanted], `${name}: ${what}, the users of the export`)
      t.strictSame(theirs(server), before, `${name}: ${what}, the users of others are untouched`)
      t.match(await status(name), { in_step: true }, name)
    }),
  )
}

t.test('users are created, and a repeated run does nothing', async (t) => {
  for (const { name, server } of servers) {
    t.match(await create({ name, kind: 'scim', url: server.url, key: TOKEN, preset: 'user' }), {
      status: 201,
      json: {
        kind: 'scim',
        has_key: true,
        limits: { batch: 100, concurrency: 4 },
        mapping: { userName: '{username}' },
      },
    })
  }
  await batch(USERS)
  await syncAll(t, 'created', { kind: 'full', added_count: USERS })
  await syncAll(t, 'unchanged', { kind: 'unchanged', added_count: 0, updated_count: 0 })
  first = new Map(servers.map(({ name, server }) => [name, idsOf(server)]))
})

t.test('changed, deleted and added users', async (t) => {
  await sql`update users set email = 'new' || email, role = 'admin' where username < 'u14'`
  await sql`update users set username = 'renamed' || username where username >= 'u20' and username < 'u22'`
  const { count: deleted } = await sql`delete from users where username >= 'u22' and username < 'u25'`
  const { count: changed } = await sql`select from users where email like 'new%' or username like 'renamed%'`
  await batch(20)
  await syncAll(t, 'changed', { kind: 'delta', added_count: 20, updated_count: changed, deleted_count: deleted })
  for (const { name, server } of servers) {
    const kept = server.users().filter(({ username }) => username.startsWith('renamed'))
    t.ok(kept.length > 0 && kept.every(({ id, external_id }) => first.get(name)?.get(external_id) === id), 'same ids')
  }
})

t.test('a full run creates again what somebody removed, also where others have the ids now', async (t) => {
  const [lost] = await sql<{ id: string }[]>`select id from users order by id limit 1`
  for (const { server } of servers) {
    server.sql(
      `update users set external_id = 'theirs', username = 'theirs',
         resource = json_set(resource, '$.userName', 'theirs', '$.externalId', 'theirs')
       where external_id = ?`,
      lost?.id ?? '',
    )
    server.sql(`delete from users where external_id <> 'theirs' and id % 3 = 0`)
  }
  for (const { name, server } of servers) {
    const theirs = () => server.users().filter(({ external_id }) => external_id === 'theirs')
    const before = theirs()
    t.equal(before.length, 1)
    t.match(await sync(name, { full: true }), { status: 'succeeded', kind: 'full' }, name)
    t.strictSame(theirs(), before, `${name}: it is not ours`)
    server.sql(`delete from users where external_id = 'theirs'`)
  }
  await syncAll(t, 'created again', { kind: 'unchanged' })
})

t.test('a name that somebody else has there is refused, and arrives when it is free', async (t) => {
  await sql`update users set username = 'own1@example.com' where username = 'u7@example.com'`
  for (const { name } of servers) {
    t.match(await sync(name), { status: 'failed', failure: 'users_refused' })
    t.match(await failures(name), [{ code: 'exists_already', operation: 'update', detail: /userName/ }], name)
  }
  await sql`update users set username = 'u7@example.com' where username = 'own1@example.com'`
  await syncAll(t, 'free again', {})
})

t.test('clear leaves what was there before', async (t) => {
  const [row] = await sql<{ count: number }[]>`select count(*)::int as count from users`
  for (const { name, server } of servers) {
    t.match(await clear(name), { status: 'succeeded', deleted_count: row?.count, failure: null }, name)
    t.strictSame(server.users(), before, name)
  }
})

const idsOf = (server: ScimServer) => new Map(server.users().map(({ id, external_id }) => [external_id, id]))
