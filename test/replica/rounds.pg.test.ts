import fc from 'fast-check'
import { sweepCredentials } from '../../src/batches/unused-credentials.ts'
import { WHOLE_POOL } from '../../src/replica/apply-export.ts'
import { runTransaction, transaction } from '../export/history.ts'
import { makePool, stateFromScratch } from '../export/observe.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { exportOf, makeUsers, put, startPair, stateOf, userLines } from './pair.ts'

const t = suite()

/* Histories of plain SQL, pushed as deltas, concurrent exports, and what an export says nothing of. */

t.test('deltas bring the replica to the source’s state after any history of changes', async (t) => {
  const { source, replica } = await startPair(t)
  let pools = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(transaction, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4 }),
      async (rounds) => {
        const pool = `history-${pools++}`
        const [there, here] = [await makePool(source.sql, pool), await makePool(replica.sql, pool)]
        let base = ''
        for (const transactions of rounds) {
          for (const one of transactions) await runTransaction(source.sql, there, one).catch(ofThePlainWriter)
          const now = await stateOf(source, pool)
          const { status, json } = await put(replica.url, await exportOf(source, { pool, base }), { pool })
          if (status !== 200) throw new Error(`${status} ${json.code} ${json.detail}`)
          if (json.state !== now || (await stateFromScratch(replica.sql, here, WHOLE_POOL)) !== now)
            throw new Error('state')
          base = now
        }
        return (
          userLines(await exportOf(source, { pool })).join() === userLines(await exportOf(replica, { pool })).join()
        )
      },
    ),
    { numRuns: sized(4, 30) },
  )
})

/** A history may contain statements that the table rejects. */
const ofThePlainWriter = (error: { code?: string }) => {
  if (error.code !== '23505') throw error
}

t.test('concurrent exports are applied one after the other, or rejected', async (t) => {
  const { source, replica } = await startPair(t)
  await makeUsers(source.sql, sized(300, 3_000))
  const base = await stateOf(source)
  const first = await exportOf(source)
  const right = await makePool(source.sql, 'right')
  t.equal((await put(source.url, first, { pool: 'right' })).status, 200)
  t.equal((await put(replica.url, first)).status, 200)
  await source.sql`update users set role = 'left' where pool_id = 1`
  await source.sql`update users set role = 'right' where pool_id = ${right} and username like 'user1%'`
  await source.sql`delete from users where pool_id = ${right} and username like 'user2%'`
  const pools = ['default', 'right']
  const states = await Promise.all(pools.map((pool) => stateOf(source, pool)))
  const deltas = await Promise.all(pools.map((pool) => exportOf(source, { pool, base })))
  const fulls = await Promise.all(pools.map((pool) => exportOf(source, { pool })))
  for (let round = 0; round < sized(2, 3); round++) {
    const answers = await Promise.all(deltas.map((body) => put(replica.url, body)))
    t.same(answers.map(({ status }) => status).toSorted(), [200, 409], 'two deltas')
    const taken = answers.findIndex(({ status }) => status === 200)
    t.match(answers[1 - taken]?.json, { code: 'base_mismatch', state: states[taken] })
    t.equal(await stateFromScratch(replica.sql, 1, WHOLE_POOL), states[taken])

    const both = await Promise.all(fulls.map((body) => put(replica.url, body)))
    t.same(
      both.map(({ status }) => status),
      [200, 200],
      'two full exports',
    )
    const held = await stateOf(replica)
    t.ok(states.includes(held), 'never a mixture')
    t.equal(await stateFromScratch(replica.sql, 1, WHOLE_POOL), held)
    t.equal((await put(replica.url, first)).status, 200)
  }
})

t.test('plain SQL on the replica during exports is repaired by the next full export', async (t) => {
  const { source, replica } = await startPair(t)
  await makeUsers(source.sql, sized(300, 2_000))
  t.equal((await put(replica.url, await exportOf(source))).status, 200)
  let stop = false
  const writer = (async () => {
    for (let n = 0; !stop; n++) {
      await replica.sql`update users set role = ${`spoilt ${n}`} where username = ${`user${1 + (n % 50)}`}`.catch(
        () => {},
      )
    }
  })()
  const seen = new Set<number>()
  for (let n = 0; n < 4; n++) {
    await source.sql`update users set role = ${`role ${n}`}`
    const { status } = await put(replica.url, await exportOf(source))
    seen.add(status)
  }
  stop = true
  await writer
  for (const status of seen) t.ok([200, 503].includes(status), `${status}`)
  t.equal((await put(replica.url, await exportOf(source))).status, 200)
  t.equal(await stateOf(replica), await stateOf(source))
  t.equal(await stateFromScratch(replica.sql, 1, WHOLE_POOL), await stateOf(source))
})

t.test('a user that an export changes keeps its login, and a deleted one does not', async (t) => {
  const { source, replica } = await startPair(t)
  const logins = async () => {
    const include = 'format=ndjson&include=password,password_hash,totp_secret'
    const { raw } = await replica.call('GET', `/v1/users/export?${include}`)
    const users = userLines(raw.toString()).map((line) => JSON.parse(line))
    return Object.fromEntries(users.map((user) => [user.id, [user.password, user.password_hash, user.totp_secret]]))
  }
  const password_hash = { algorithm: 'argon2id', memory_kib: 8, iterations: 1, distinct: 3 }
  const config = { password_mode: 'per_user', password_hash, totp: true, username_pattern: 'u{n}' }
  await replica.call('POST', '/v1/batches', { body: { count: 3, config }, headers: { prefer: 'wait=30' } })
  t.equal((await put(source.url, await exportOf(replica))).status, 200)
  await replica.call('PATCH', '/v1/pools/default', { body: { replica: 'everything' } })
  const [base, before] = [await stateOf(source), await logins()]

  await source.sql`update users set custom_attributes = '{"plan": "gold"}' where username = 'u1'`
  const delta = await put(replica.url, await exportOf(source, { base }))
  t.match(delta, { status: 200, json: { kind: 'delta', counts: { added: 0, updated: 1, deleted: 0 } } })
  t.strictSame(await logins(), before)

  await source.sql`update users set email = 'another@example.com' where username = 'u2'`
  const [deleted] = await source.sql<{ id: string }[]>`delete from users where username = 'u3' returning id`
  const full = await put(replica.url, await exportOf(source))
  t.match(full, { status: 200, json: { kind: 'full', counts: { added: 0, updated: 1, deleted: 1 } } })
  await sweepCredentials(replica.sql)
  const { [deleted?.id ?? '']: _, ...left } = before
  t.strictSame(await logins(), left)
  t.match(await replica.sql`select count(*)::int as count from credentials`, [{ count: 2 }])
})
