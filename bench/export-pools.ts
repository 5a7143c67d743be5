import type { BatchConfigBody } from '../src/batches/batch-config.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { makeBatch } from './create-batch.ts'
import { emptyTables } from './create-empty.ts'
import { count } from './report-table.ts'

/** A pool that is filled for the measurements. */
export interface Pool {
  name: string
  id: number
  users: number
}

/**
 * Creates pools with these numbers of users in a database without other users. All rows are in the same tables.
 * Afterwards the tables are vacuumed and have statistics. Without settings, the users have no password.
 */
export async function fillPools(
  surroundings: Surroundings,
  users: number[],
  config: BatchConfigBody = { password_hash: { algorithm: 'none' } },
): Promise<Pool[]> {
  const { client, sql, progress, within } = surroundings
  await emptyTables(surroundings)
  const pools: Pool[] = []
  for (const [i, number] of users.entries()) {
    progress(`filling a pool with ${count(number)} users`)
    const name = `bench-${i + 1}`
    await within(10, 'creation of a pool', async (signal) => {
      await client.send('/v1/pools', { method: 'POST', json: { name }, signal })
    })
    await makeBatch(surroundings, number, config, name)
    const [row] = await sql<{ id: number }[]>`select id from pools where name = ${name}`
    pools.push({ name, id: row?.id ?? 0, users: number })
  }
  await within(120, 'vacuum', async () => {
    await sql`vacuum (analyze)`
    await sql`checkpoint`
  })
  return pools
}

/** The current state of the pool. */
export async function presentState({ client, within }: Surroundings, { name }: Pool): Promise<string> {
  const answer = await within(10, 'state', (signal) => client.send(`/v1/states/current?pool=${name}`, { signal }))
  return (answer as { state: string }).state
}

/** Ids of `number` users, spread evenly over the pool. */
export async function spreadIds({ sql, within }: Surroundings, pool: Pool, number: number): Promise<string[]> {
  const step = Math.floor(pool.users / number)
  const rows = await within(
    60,
    'choice of users',
    () => sql<{ id: string }[]>`
      select id from (select id, row_number() over (order by id) as place from users where pool_id = ${pool.id}) u
      where place % ${step} = 0 limit ${number}`,
  )
  return rows.map(({ id }) => id)
}

/** Changes these users in one statement, so that the pool has a state that it never had before. */
export async function changeUsers({ sql, within }: Surroundings, pool: Pool, ids: string[]): Promise<void> {
  const role = `auditor_${performance.now()}`
  const { count: changed } = await within(
    30,
    'change of users',
    () => sql`update users set role = ${role} where pool_id = ${pool.id} and id = any(${ids}::uuid[])`,
  )
  if (changed !== ids.length) throw new Error(`${changed} of ${ids.length} users were changed`)
}
