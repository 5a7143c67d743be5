import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { openTransaction } from '../open-transaction.ts'
import { suite } from '../suite.ts'
import { sinkRoutes, sinkService, startSystem } from './sink.ts'
import { DJANGO } from './systems.ts'

const t = suite()

/* A process died between its announcement and the end of the target's transaction. The target says how that ended. */

const service = await sinkService(t)
const { sql } = service
const system = await startSystem(t, DJANGO)
const { create, sync, batch } = sinkRoutes(service)
await create({ name: 's', url: system.url, preset: 'django' })

const NAME = 'x@example.com'
const COLUMNS = { password: 'p', is_superuser: false, first_name: '', last_name: '', email: NAME, is_staff: false }

/**
 * Announces a user as created by a transaction which `end` ends, or by that of `marker`. An attempt that failed in the test before may
 * have left another announcement.
 */
async function announce(t: Test, end: 'commit' | 'rollback', marker?: string): Promise<void> {
  await system.sql`delete from auth_user where username = ${NAME}`
  await batch(1, { username_pattern: NAME })
  t.teardown(() => sql`delete from users where username = ${NAME}`)
  const [user] = await sql`select id from users where username = ${NAME}`
  const tx = await openTransaction(t, system.sql)
  const row = { ...COLUMNS, username: NAME, is_active: true, date_joined: '2026-01-01T00:00:00Z' }
  const [made] = await tx`
    insert into auth_user ${tx(row)} returning id, pg_current_xact_id()::text as xid`
  await sql`
    insert into sink_users (pool_id, target, user_id, external, is_due)
    values (1, 's', ${user?.['id']}, ${JSON.stringify([[[NAME], String(made?.['id'])]])}, false)`
  await sql`
    insert into sink_announcements (pool_id, target, marker, user_ids)
    values (1, 's', ${marker ?? made?.['xid']}, array[${user?.['id']}]::uuid[])`
  await tx[end]()
}

const rows = () => system.sql`select id, password from auth_user where username = ${NAME}`

t.test('committed: the row is ours, and is brought up to date', async (t) => {
  await announce(t, 'commit')
  const [before] = await rows()
  t.match(await sync('s'), { status: 'succeeded', failure: null, added_count: 0, updated_count: 1 })
  const [after, ...others] = await rows()
  t.equal(after?.['id'], before?.['id'], 'the same row')
  t.match(after?.['password'], /^pbkdf2/)
  t.strictSame(others, [])
})

t.test('aborted: the user is created once', async (t) => {
  await announce(t, 'rollback')
  t.match(await sync('s'), { status: 'succeeded', added_count: 1 })
  t.equal((await rows()).length, 1)
})

t.test('aborted, and the system has since made a row with the same username: it is not ours', async (t) => {
  await announce(t, 'rollback')
  const row = { ...COLUMNS, username: NAME, is_active: true, date_joined: '2026-01-01T00:00:00Z' }
  const [theirs] = await system.sql`insert into auth_user ${system.sql(row)} returning *`
  t.match(await sync('s'), { status: 'failed', failure: 'users_refused' })
  await sql`delete from users where username = ${NAME}`
  t.match(await sync('s'), { status: 'succeeded', failure: null })
  t.strictSame([...(await system.sql`select * from auth_user where username = ${NAME}`)], [theirs])
})

t.test('a transaction of the future, after the database was replaced: the user is created', async (t) => {
  await announce(t, 'rollback', '9999999999')
  t.match(await sync('s'), { status: 'succeeded', added_count: 1 })
})

t.test('a transaction is announced before its commit; if that fails, the user is created once', async (t) => {
  await sync('s') // removes the user of the previous test
  await batch(1, { username_pattern: NAME })
  t.teardown(() => sql`delete from users where username = ${NAME}`)
  const { run } = await sql.begin(async (tx) => {
    await tx`lock table sink_announcements in exclusive mode`
    const run = sync('s')
    while ((await waitingForLock()).count === 0) await sleep(5)
    t.equal((await rows()).length, 0)
    await system.sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'usersync sink' and xact_start is not null`
    return { run }
  })
  t.match(await run, { status: 'succeeded', added_count: 1, attempts: 2 })
  t.equal((await rows()).length, 1)
})

const waitingForLock = () => sql`
  select from pg_stat_activity
  where datname = current_database() and application_name = 'usersync' and wait_event_type = 'Lock'`

t.test('still open: the run fails as busy and sends nothing, and the next one settles it', async (t) => {
  const blocking = await openTransaction(t, system.sql)
  const [open] = await blocking`select pg_current_xact_id()::text as xid`
  await announce(t, 'rollback', open?.['xid'])
  t.match(await sync('s'), { status: 'failed', failure: 'busy', attempts: 4 })
  t.equal((await rows()).length, 0)
  await blocking.rollback()
  t.match(await sync('s'), { status: 'succeeded', added_count: 1 })
})

t.test('a row that the system gave to somebody else after a reset is neither changed nor removed', async (t) => {
  await batch(1, { username_pattern: NAME })
  t.match(await sync('s'), { status: 'succeeded' })
  await system.sql`update auth_user set username = 'root', password = 'theirs' where username = ${NAME}`
  const theirs = [...(await system.sql`select * from auth_user where username = 'root'`)]
  await sql`update users set email = 'other@example.com' where username = ${NAME}`
  t.match(await sync('s'), { status: 'succeeded', updated_count: 1 }, 'the lost user is created again')
  t.equal((await rows()).length, 1)
  await sql`delete from users where username = ${NAME}`
  await sync('s')
  t.strictSame([...(await system.sql`select * from auth_user where username = 'root'`)], theirs)
  t.equal((await rows()).length, 0)
})
