import { as, secretOf } from './keys.ts'
import type { Service } from './service.ts'

/* Pools with one of everything, whose ids, names, emails and states can be searched for in responses. */

export const POOLS = ['default', 'shop', 'crm', 'mirror', 'tester'] as const
export const REPLICAS: Record<string, string> = { mirror: 'everything', tester: 'test_users' }

/** The data in a pool that requests refer to. */
export interface Planted {
  pool: string
  testUser: string
  protectedUser: string
  batch: string
  /** A user of the batch, with a second factor; the test user where the batch is gone. */
  batchUser: string
  run: string
  template: string
  target: string
  /** A system under test, where nothing listens. */
  sink: string
  /** A lease of one user. */
  lease: string
  fence: number
  /** A target of all users, with `test_users_only: false`. */
  wideTarget: string
  /** An NDJSON export of a replica's content. */
  body: string
  /** Texts that only a key with `admin` may read. */
  ofAdmin: string[]
  /** Texts that only a key with a scope in the pool may read. */
  ofPool: string[]
}

/** Creates whatever is missing. */
export async function plant({ call, sql, url }: Service, pool: string): Promise<Planted> {
  const ask = async <Json>(method: string, path: string, body?: object) => {
    const headers = { ...as('root'), prefer: 'wait=30' }
    const query = `${path.includes('?') ? '&' : '?'}pool=${pool}`
    return (await call<Json>(method, path + query, { headers, ...(body && { body }) })).json
  }
  await call('POST', '/v1/pools', { headers: as('root'), body: { name: pool } })
  const [row] = await sql<{ id: number }[]>`select id from pools where name = ${pool}`
  const poolId = row?.id ?? 0
  await sql`
    insert into users (pool_id, username, email, is_test_user)
    select ${poolId}, v.name, v.name, v.test
    from (values (${`tester-${pool}@example.com`}, true), (${`chief-${pool}@real-company.com`}, false)) v(name, test)
    on conflict do nothing`
  const label = `label-of-${pool}`
  const { items: batches } = await ask<{ items: { id: string; label: string }[] }>('GET', '/v1/batches?limit=1000')
  const config = { password_hash: { algorithm: 'none' }, totp: true }
  const batch =
    batches.find((each) => each.label === label) ??
    (await ask<{ id: string }>('POST', '/v1/batches', { count: 1, label, config }))
  const owner = `owner-of-${pool}`
  await ask('POST', '/v1/leases', { owner, partial: true, ttl_seconds: 3_600 })
  const { items: leases } = await ask<{ items: { id: string; fence: number; owner: string }[] }>('GET', '/v1/leases')
  const lease = leases.find((each) => each.owner === owner)
  const template = `template-of-${pool}`
  await ask('POST', '/v1/templates', { name: template, config: {} })
  // Nothing listens at the first target. The second is a pool of this service, so that verifying it works.
  const target = `target-of-${pool}`
  const wideTarget = `wide-target-of-${pool}`
  await ask('POST', '/v1/targets', { name: target, url: 'http://127.0.0.1:9' })
  const wide = { name: wideTarget, url, key: secretOf('root'), remote_pool: 'sink' }
  await ask('POST', '/v1/targets', { ...wide, filter: { test_users_only: false } })
  const sink = `sink-of-${pool}`
  const nowhere = { url: 'postgres://nobody@127.0.0.1:9/none', kind: 'postgres', preset: 'django' }
  await ask('POST', '/v1/targets', { name: sink, ...nowhere })
  if (REPLICAS[pool]) {
    await call('PATCH', `/v1/pools/${pool}`, { headers: as('root'), body: { replica: REPLICAS[pool] } })
  }
  const users = await sql<{ id: string; is_test_user: boolean; username: string }[]>`
    select id, is_test_user, username from users where pool_id = ${poolId} and batch_id is null order by username`
  const [ofBatch] = await sql<{ id: string }[]>`select id from users where batch_id = ${batch.id}`
  const idOf = (isTest: boolean) => users.find(({ is_test_user }) => is_test_user === isTest)?.id ?? ''
  const stateOf = async (query: string) => (await ask<{ state: string }>('GET', `/v1/states/current?${query}`)).state
  const wideState = await stateOf('test_users_only=false')
  const [run] = await sql<{ id: string }[]>`
    insert into sync_runs (pool_id, target, trigger, "full", status, kind, base, state, finished_at)
    values (${poolId}, ${wideTarget}, 'request', false, 'succeeded', 'delta', ${wideState}, ${wideState}, now()) returning id`
  const exported = await call(
    'GET',
    `/v1/users/export?format=ndjson&pool=${pool}&test_users_only=${pool !== 'mirror'}`,
    {
      headers: as('root'),
    },
  )
  return {
    pool,
    testUser: idOf(true),
    protectedUser: idOf(false),
    batch: batch.id,
    batchUser: ofBatch?.id ?? idOf(true),
    run: run?.id ?? '',
    template,
    target,
    sink,
    wideTarget,
    lease: lease?.id ?? '',
    fence: lease?.fence ?? 0,
    body: exported.raw.toString(),
    ofAdmin: [idOf(false), `chief-${pool}@real-company.com`, wideState],
    ofPool: [
      lease?.id ?? '',
      owner,
      idOf(true),
      `tester-${pool}@`,
      batch.id,
      label,
      template,
      target,
      sink,
      wideTarget,
      await stateOf(''),
    ],
  }
}
