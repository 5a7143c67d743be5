import type { Batch } from '../../src/batches/batches.ts'
import { makePool } from '../export/observe.ts'
import type { Answer, Service } from '../http/service.ts'

/** The nth user id. */
export const id = (n: number) => `01890000-0000-7000-8000-${String(n).padStart(12, '0')}`

/** Imports rows as JSON into pools of a service, and reads the result. */
export function importClient({ sql, call }: Pick<Service, 'sql' | 'call'>) {
  const send = (pool: string, onConflict: string, rows: object[]) =>
    call<Batch>('POST', `/v1/users/import?pool=${pool}&on_conflict=${onConflict}&format=json`, {
      body: JSON.stringify(rows),
      headers: { 'content-type': 'application/json' },
    })

  /** The failed rows of an import, with their codes. */
  const failuresOf = async (pool: string, { json }: Answer<Batch>) => {
    const { json: page } = await call<{ items: { n: number; code: string }[] }>(
      'GET',
      `/v1/batches/${json.id}/failures?pool=${pool}`,
    )
    return page.items.map(({ n, code }) => [n, code])
  }

  /** The users and batches of a pool. */
  const written = async (pool: string) => [
    ...(await sql`select u.*, u.custom_attributes::text as attributes from users u join pools p on p.id = u.pool_id where p.name = ${pool} order by u.id`),
    ...(await sql`select b.id from batches b join pools p on p.id = b.pool_id where p.name = ${pool}`),
  ]

  /** Creates a pool with user 1, `there@example.com`, and user 2, `real`, which is not a test user. */
  async function poolWith(name: string): Promise<string> {
    const poolId = await makePool(sql, name)
    await sql`
      insert into users (pool_id, id, username, email, custom_attributes, is_test_user) values
        (${poolId}, ${id(1)}, 'there@example.com', 'there@example.com', '{"n": 1.1}', true),
        (${poolId}, ${id(2)}, 'real', 'real@example.com', '{}', false)`
    return name
  }

  return { send, failuresOf, written, poolWith }
}
