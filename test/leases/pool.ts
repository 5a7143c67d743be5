import type { Test } from 'tap'
import type { Service } from '../http/service.ts'
import { sharedService } from '../http/shared-service.ts'

export interface Lease {
  id: string
  fence: number
  expires_at: string
  users: { id: string; username: string }[]
}

/** The response to expect for an error. */
export const problem = (status: number, code: string) => ({ status, json: { code } })

/** The service of the tests of leases. A statement waits for a lock of a test as long as a busy machine needs. */
export const PATIENT = { WAIT_SECONDS: '15' }
export const leaseService = (t: Test) => sharedService(t, PATIENT)

let pools = 0

/** Creates a pool with this many users, by plain SQL. */
export async function makePool({ call, sql }: Pick<Service, 'call' | 'sql'>, users: number): Promise<string> {
  const pool = `lease-pool-${++pools}`
  await call('POST', '/v1/pools', { body: { name: pool } })
  await addUsers(sql, pool, users)
  return pool
}

/** Adds users with the attributes `n` and `plan`, which is gold for every second one. */
export async function addUsers(sql: Service['sql'], pool: string, users: number, first = 1): Promise<void> {
  await sql`
    insert into users (pool_id, username, email, custom_attributes)
    select p.id, 'u' || n, 'u' || n || '@example.com',
      jsonb_build_object('n', n, 'plan', case n % 2 when 0 then 'gold' else 'free' end)
    from pools p, generate_series(${first}::int, ${first + users - 1}::int) n where p.name = ${pool}`
}
