import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { startServerProcess } from '../server-process.ts'
import { call as callUrl } from '../sinks/call.ts'
import { sinkRoutes, startSystem } from '../sinks/sink.ts'
import { DJANGO } from '../sinks/systems.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import type { Lease } from './pool.ts'

const t = suite()

/* The service is killed while a reset puts users right. None is free before it is right, and in the end all are. */

const KILLS = sized(1, 4)
const USERS = sized(60, 1_000)

t.test('a reset goes on after kill -9, and frees no user that is not right', async (t) => {
  const url = await testDatabase()
  const system = await startSystem(t, DJANGO)
  const sql = connect({ url, schema: 'usersync', connections: 2, name: 'test' })
  t.teardown(() => sql.end({ timeout: 5 }))
  const settings = { DATABASE_URL: url, ENCRYPTION_KEY: 'e1'.repeat(32), MAX_WORKERS: '1' }
  let server = await startServerProcess(t, settings)
  const call = (...request: Parameters<ReturnType<typeof callUrl>>) => callUrl(server.url)(...request)
  const { create, batch, sync } = sinkRoutes({ call: call as ReturnType<typeof callUrl> })
  await create({ name: 'shop', url: system.url, preset: 'django', limits: { batch: 10, concurrency: 2 } })
  await batch(USERS)
  await sync('shop')
  const rows = async () => [...(await system.sql`select * from auth_user order by username`)]
  const right = await rows()

  for (let kill = 0; kill < KILLS; kill++) {
    await spoilAll()
    const reset = call('POST', '/v1/leases/reset', { body: {} }).catch(() => {}) // killed in the middle
    await untilMoving()
    await sleep(Math.random() * sized(10, 100))
    await server.end('SIGKILL')
    await reset
    await sql`update sync_runs set lease_until = '-infinity' where status = 'running'` // 30 s later, otherwise
    server = await startServerProcess(t, settings)
    await untilAllFree(t)
    t.strictSame(await rows(), right)
  }

  /** Leases all users, changes them in the system, and returns them. */
  async function spoilAll(): Promise<void> {
    const { json } = await call('POST', '/v1/leases', { body: { count: USERS } })
    const { id, fence } = json as Lease
    await system.sql`update auth_user set password = 'changed', is_staff = not is_staff where password <> 'own'`
    await call('POST', `/v1/leases/${id}/return`, { body: { fence, outcome: 'dirty' } })
  }

  /** Waits until a user is right in the system. */
  async function untilMoving(): Promise<void> {
    for (;;) {
      const moved = await system.sql`select from auth_user where password not in ('changed', 'own') limit 1`
      if (moved.length > 0) return
      await sleep(2)
    }
  }

  /** Waits until all users are free. At each look, those that are free are right. */
  async function untilAllFree(t: { strictSame(found: unknown, wanted: unknown): unknown }): Promise<void> {
    for (;;) {
      const free = await sql<{ username: string }[]>`
        select u.username from lease_users l join users u on u.id = l.user_id where l.status = 'free'`
      const names = free.map(({ username }) => username)
      const wrong =
        await system.sql`select username from auth_user where username = any(${names}) and password = 'changed'`
      if (wrong.length > 0) t.strictSame(wrong, [])
      if (free.length === USERS) return
      const [waiting] = await sql`select from lease_resets limit 1`
      if (!waiting) await call('POST', '/v1/leases/reset', { body: {} }) // what the killed request has not reached
      await sleep(20)
    }
  }
})
