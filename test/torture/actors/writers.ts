import { setTimeout as sleep } from 'node:timers/promises'
import type { EventOf } from '../events.ts'
import { createRandom } from '../random.ts'
import type { World } from '../world.ts'
import { anyReplica } from './batches.ts'

/** Changes one user in many concurrent requests. */
export async function patch(world: World, { times, hot, seed }: EventOf<'patch'>): Promise<void> {
  const random = createRandom(seed)
  const id = hot ? random.pick(world.hotIds) : await someUser(world, random.next())
  if (!id) return
  await Promise.all(
    Array.from({ length: times }, (_, n) =>
      world.client.ask({
        replica: random.pick(world.replicas),
        key: 'writer',
        method: 'PATCH',
        path: `/v1/users/${id}`,
        body: { role: `p${seed % 1000}-${n}` },
        kind: 'user',
      }),
    ),
  )
}

export async function deleteUser(world: World, { which, seed }: EventOf<'deleteUser'>): Promise<void> {
  const id = await someUser(world, which)
  if (!id) return
  await world.client.ask({
    replica: anyReplica(world, seed),
    key: 'writer',
    method: 'DELETE',
    path: `/v1/users/${id}`,
    kind: 'user',
  })
}

/** A test user of the default pool that is not contended. */
async function someUser({ sql, hotIds }: World, which: number): Promise<string | undefined> {
  const rows = await sql<{ id: string }[]>`
    select id from users where pool_id = 1 and is_test_user and id <> all(${hotIds}) order by md5(id::text || ${which}) limit 1`
  return rows[0]?.id
}

/**
 * A writer that uses plain SQL in the default pool: a transaction of one statement, which may stay open or be rolled
 * back.
 */
export async function sql(world: World, event: EventOf<'sql'>): Promise<void> {
  const { statement, rows, holdMs, commit, seed } = event
  const { hotIds, report } = world
  const salt = String(seed)
  await world.sql
    .begin(async (tx) => {
      const some = tx`
        select id from users where pool_id = 1 and is_test_user and id <> all(${hotIds})
        order by md5(id::text || ${salt}) limit ${rows}`
      // It is undefined whether expiry checks a batch again that it has already removed.
      const someBatch = tx`(select id from batches where pool_id = 1 and expires_at is null order by md5(id::text || ${salt}) limit 1)`
      if (statement === 'insert')
        await tx`
          insert into users (username, email, batch_id, custom_attributes)
          select name, name || '@example.com', case when ${seed % 2} = 1 then ${someBatch} end, '{"b": 1.50, "a": "ü\\n"}'
          from (select 'sql-' || ${salt} || '-' || n as name from generate_series(1, ${rows}::int) n) names`
      if (statement === 'update')
        await tx`update users set role = ${`s${seed % 1000}`} where pool_id = 1 and id in (${some})`
      if (statement === 'delete') await tx`delete from users where pool_id = 1 and id in (${some})`
      if (statement === 'move') await tx`update users set batch_id = ${someBatch} where pool_id = 1 and id in (${some})`
      if (statement === 'respell')
        await tx`
          update users set custom_attributes = case custom_attributes::text when '{"n": 1.5}' then '{"n": 1.50}' else '{"n": 1.5}' end::jsonb
          where pool_id = 1 and id in (${some})`
      await sleep(holdMs)
      if (!commit) throw new Error('rolled back')
    })
    .then(
      () => report.count(`sql ${statement}`),
      (error: Error) => report.count(error.message === 'rolled back' ? 'sql rolled back' : 'sql failed'),
    )
}
