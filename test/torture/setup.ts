import type { Sql } from 'postgres'
import { type Client, KEYS, PLANTED } from './client.ts'
import { eventually } from './clock.ts'
import { LEASED, POOLS } from './events.ts'
import type { World } from './world.ts'

/** Users that imports and PATCH requests change again and again. */
export const HOT = Array.from({ length: 20 }, (_, n) => `hot-${n}@example.com`)

/** Users of the pool LEASED: fewer than callers want. */
export const LEASED_USERS = 15

/** Creates the pools, the targets, the contended users and the protected ones. */
export async function setUp(world: World): Promise<void> {
  const { client, replicas, receiver, sql } = world
  const [replica] = replicas
  const must = async (step: string, request: Parameters<Client['ask']>[0]) => {
    const done = await eventually(15_000, async () => {
      const { status } = await client.ask(request)
      return (status >= 200 && status < 300) || status === 409
    })
    if (!done) throw new Error(`could not ${step}`)
  }
  for (const at of [replica, receiver]) {
    await must('make a pool', { replica: at, path: '/v1/pools', body: { name: 'steady' } })
  }
  await must('make a pool', { replica, path: '/v1/pools', body: { name: 'mirror' } })
  await must('make a pool', { replica, path: '/v1/pools', body: { name: LEASED } })
  await must('make a pool', { replica, path: '/v1/pools', body: { name: 'empty' } })
  await must('declare', { replica, path: '/v1/pools/mirror', method: 'PATCH', body: { replica: true } })
  for (const pool of POOLS) {
    await must('declare', { replica: receiver, path: `/v1/pools/${pool}`, method: 'PATCH', body: { replica: true } })
    await must('make a target', {
      replica,
      path: '/v1/targets',
      body: {
        pool,
        name: 'tester',
        url: `http://127.0.0.1:${world.targetWay.port}`,
        key: KEYS.admin.secret,
        interval_seconds: 1,
      },
    })
  }
  await sql`insert into users (username, email) select name, name from unnest(${HOT}::text[]) name`
  world.hotIds = (await sql<{ id: string }[]>`select id from users where username = any(${HOT})`).map(({ id }) => id)
  await sql`
    insert into users (pool_id, username, email)
    select p.id, 'leased-' || n, 'leased-' || n || '@example.com'
    from pools p cross join generate_series(1, ${LEASED_USERS}::int) n where p.name = ${LEASED}`
  await sql`
    insert into users (pool_id, username, email, is_test_user, custom_attributes)
    select p.id, ${PLANTED} || n, ${PLANTED} || n || '@company.example.com', false, '{"marker": "planted"}'
    from pools p cross join generate_series(1, 3) n where p.name <> 'empty'`
  world.planted = await plantedRows(sql)
}

/** The protected users as text, in which every change is visible. */
export async function plantedRows(sql: Sql): Promise<string> {
  const [row] = await sql<{ rows: string }[]>`
    select string_agg(to_jsonb(u)::text, ' ' order by pool_id, username) as rows
    from users u where username like ${`${PLANTED}%`}`
  return row?.rows ?? ''
}
