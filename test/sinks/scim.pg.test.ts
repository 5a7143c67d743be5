import type { Test } from 'tap'
import { startService } from '../http/service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { type ScimServer, startScim, TOKEN } from './scim-server.ts'
import { PACE, sinkRoutes } from './sink.ts'

const t = suite()

/* Users at a real SCIM server, from their creation to their removal; with bulk requests and without. */

const USERS = sized(230, 5_000)
const SERVERS = {
  bulk: {},
  'small-bulk': { BULK: '7', BULK_BYTES: '2500' },
  single: { BULK: '0' },
}
t.setTimeout(600_000)

for (const [name, settings] of Object.entries(SERVERS)) {
  t.test(`the users of a server (${name}) are those of the export, through all changes`, async (t) => {
    const service = await startService(t, {}, PACE)
    const { sql } = service
    const { create, sync, clear, failures, status, batch } = sinkRoutes(service)
    const server = await startScim(t, settings)
    const before = server.users()

    async function inStep(t: Test, what: string, users: number): Promise<void> {
      const wanted = await sql`select id as external_id, username, email, role from users order by username collate "C"`
      t.equal(wanted.length, users, `${what}: ${users} users`)
      t.strictSame(server.ours(), [...wanted], what)
      t.strictSame(theirs(server), before, `${what}: the users of others are untouched`)
      t.match(await status('s'), { in_step: true })
    }

    t.match(await create({ name: 's', kind: 'scim', url: server.url, key: TOKEN, preset: 'user' }), {
      status: 201,
      json: {
        kind: 'scim',
        has_key: true,
        limits: { batch: 100, concurrency: 4 },
        mapping: { userName: '{username}' },
      },
    })
    await batch(USERS)
    t.match(await sync('s'), { status: 'succeeded', kind: 'full', added_count: USERS, failure: null })
    await inStep(t, 'created', USERS)
    t.match(await sync('s'), { status: 'succeeded', kind: 'unchanged', added_count: 0, updated_count: 0 })

    const ids = new Map(server.users().map(({ id, external_id }) => [external_id, id]))
    await sql`update users set email = 'new' || email, role = 'admin' where username < 'u14'`
    await sql`update users set username = 'renamed' || username where username >= 'u20' and username < 'u22'`
    const { count: deleted } = await sql`delete from users where username >= 'u22' and username < 'u25'`
    const { count: changed } = await sql`select from users where email like 'new%' or username like 'renamed%'`
    await batch(20)
    t.match(await sync('s'), { kind: 'delta', added_count: 20, updated_count: changed, deleted_count: deleted })
    await inStep(t, 'changed', USERS - deleted + 20)
    const kept = server.users().filter(({ username }) => username.startsWith('renamed'))
    t.ok(kept.length > 0 && kept.every(({ id, external_id }) => ids.get(external_id) === id), 'with their first ids')

    server.sql(`delete from users where external_id is not null and id % 3 = 0`)
    t.match(await sync('s', { full: true }), { status: 'succeeded', kind: 'full' })
    await inStep(t, 'created again what somebody removed', USERS - deleted + 20)

    await sql`update users set username = 'own1@example.com' where username = 'u7@example.com'`
    t.match(await sync('s'), { status: 'failed', failure: 'users_refused' })
    t.match(await failures('s'), [{ code: 'exists_already', operation: 'update', detail: /userName/ }])
    await sql`update users set username = 'u7@example.com' where username = 'own1@example.com'`
    await sync('s')
    await inStep(t, 'a taken name', USERS - deleted + 20)

    t.match(await clear('s'), { status: 'succeeded', deleted_count: USERS - deleted + 20, failure: null })
    t.strictSame(server.users(), before, 'clear leaves what was there before')
  })
}

const theirs = (server: ScimServer) => server.users().filter(({ external_id }) => external_id === null)
