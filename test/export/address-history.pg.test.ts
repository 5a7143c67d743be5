import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { EMPTY_STATE } from '../../src/protocol/state.ts'
import type { Answer } from '../http/service.ts'
import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { applyExport, type Held } from './apply-export.ts'
import { runTransaction, transaction } from './history.ts'
import { makePool, NOTHING } from './observe.ts'

const t = suite()

/*
 * Random histories of one pool, in which states recur, seen through two services. These were tried, and fail here: a delta in the order
 * of commits; a delta to a state that recurs marked as immutable; a snapshot whose state is not compared with the address.
 */

const one = await sharedService(t)
const other = await sharedService(t, { DATABASE_URL: one.databaseUrl })
const { sql } = one

let pools = 0

const isImmutable = ({ headers }: Answer) => String(headers['cache-control']).includes('immutable')

t.test('a full address and a delta address lead a client to their state', async (t) => {
  const pool = 'leads'
  const poolId = await makePool(sql, pool)
  await sql`
    insert into users (pool_id, username, email) select ${poolId}, 'l' || n, 'l' || n || '@example.com' from generate_series(1, 20) n`
  const stateNow = async () => (await one.call<{ state: string }>('GET', `/v1/states/current?pool=${pool}`)).json.state
  const read = (address: string) => one.call('GET', `/v1/exports/${address}?pool=${pool}&format=ndjson`)
  const before = await stateNow()
  const { held } = applyExport(NOTHING, String((await read(before)).raw))
  const ids = [...held.lines.keys()].toReversed() // later commits touch lower ids
  for (const id of ids.slice(0, 5)) await sql`delete from users where pool_id = ${poolId} and id = ${id}`
  for (const id of ids.slice(5)) await sql`update users set role = 'later' where pool_id = ${poolId} and id = ${id}`
  const state = await stateNow()
  const delta = await read(`${before}/${state}`)
  t.match(delta.headers, {
    'usersync-kind': 'delta',
    'usersync-base': before,
    'content-type': 'application/x-ndjson; charset=utf-8',
  })
  const after = applyExport(held, String(delta.raw))
  t.match(after, { head: { kind: 'delta', counts: { updated: 15, deleted: 5 } }, held: { state } })
  const idsOf = (member: string) =>
    [...String(delta.raw).matchAll(new RegExp(`\\{"${member}":"([^"]+)`, 'g'))].map(([, id]) => id)
  for (const member of ['deleted', 'id']) t.strictSame(idsOf(member), idsOf(member).toSorted(), 'in id order')
  const full = applyExport(NOTHING, String((await read(state)).raw))
  t.match(full, { head: { kind: 'full', reason: 'none' }, held: { lines: after.held.lines } })
  const empty = { state: EMPTY_STATE, lines: new Map() }
  const fromNothing = applyExport(empty, String((await read(`${EMPTY_STATE}/${state}`)).raw))
  t.strictSame(fromNothing.held.lines, full.held.lines)
})

t.test('an address that may be stored has one body in all its history, and every body leads to its state', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(transaction, { minLength: 2, maxLength: 9 }), async (history) => {
      const pool = `addresses-${++pools}`
      const poolId = await makePool(sql, pool)
      const query = `?pool=${pool}&test_users_only=false&format=ndjson`
      const bodies = new Map<string, string>()
      const held = new Map<string, Held>()
      for (const [n, each] of history.entries()) {
        await runTransaction(sql, poolId, each)
        const from = n % 2 === 0 ? one : other
        const { json } = await from.call<{ state: string }>(
          'GET',
          `/v1/states/current${query.replace('&format=ndjson', '')}`,
        )
        for (const base of [undefined, ...held.keys()]) {
          const address = `/v1/exports/${base === undefined ? '' : `${base}/`}${json.state}${query}`
          const answer = await from.call('GET', address)
          assert.equal(answer.status, 200)
          const body = String(answer.raw)
          const after = applyExport(base === undefined ? NOTHING : (held.get(base) ?? NOTHING), body)
          assert.equal(after.held.state, json.state, 'the body leads to the state in its address')
          if (base === undefined) held.set(json.state, after.held)
          if (!isImmutable(answer)) continue
          assert.equal(bodies.get(address) ?? body, body, 'the address has the same body')
          bodies.set(address, body)
        }
      }
    }),
    { numRuns: sized(5, 60) },
  )
})

t.test('a delta to a state that recurs may be stored only if it updates no user', async (t) => {
  const pool = 'recurs'
  const poolId = await makePool(sql, pool)
  const query = `?pool=${pool}&format=ndjson`
  const stateNow = async () => (await one.call<{ state: string }>('GET', `/v1/states/current?pool=${pool}`)).json.state
  const id = '10000000-0000-7000-8000-000000000001'
  const at = '2026-01-01T00:00:00Z'
  const add = (name: string, id: string) => sql`
    insert into users (pool_id, id, username, email, created_at, updated_at)
    values (${poolId}, ${id}, ${name}, ${`${name}@example.com`}, ${at}, ${at})`
  const addSecond = () => add('second', '20000000-0000-7000-8000-000000000002')
  const removeSecond = () => sql`delete from users where pool_id = ${poolId} and username = 'second'`
  await add('first', id)
  await addSecond()
  const base = await stateNow()
  await removeSecond()
  const state = await stateNow()
  const read = () => one.call('GET', `/v1/exports/${base}/${state}${query}`)
  const first = await read()
  t.ok(isImmutable(first))
  await addSecond()
  t.equal(await stateNow(), base)
  await removeSecond()
  t.equal(await stateNow(), state)
  const again = await read()
  t.ok(isImmutable(again), 'deletions follow from the two states')
  t.equal(String(again.raw), String(first.raw))

  await addSecond()
  await sql`update users set role = 'changed' where pool_id = ${poolId} and id = ${id}`
  await sql.begin(async (tx) => {
    await tx`update users set role = 'user', updated_at = ${at} where pool_id = ${poolId} and id = ${id}`
    await tx`delete from users where pool_id = ${poolId} and username = 'second'`
  })
  t.equal(await stateNow(), state)
  const other = await read()
  t.not(String(other.raw), String(first.raw), 'the first user was touched, and has the same line')
  t.equal(other.headers['cache-control'], 'private, no-store')
  t.ok(isImmutable(await one.call('GET', `/v1/exports/${state}${query}`)), 'the full export follows from the state')
})

t.test(
  'while users change, a follower that walks along the addresses never gets the body of another state',
  async (t) => {
    const pool = 'walked'
    const poolId = await makePool(sql, pool)
    const insert = (n: number) => sql`
    insert into users (pool_id, username, email) values (${poolId}, ${`w${n}`}, ${`w${n}@example.com`})`
    for (let n = 0; n < 5; n++) await insert(n)
    let [over, isEnded, reached] = [false, false, 0]
    t.teardown(() => {
      isEnded = true // also if it fails
    })
    const writing = (async () => {
      for (let n = 5; n < sized(60, 600); n++) {
        await insert(n)
        if (n % 3 === 0) await sql`delete from users where pool_id = ${poolId} and username = ${`w${n - 4}`}`
        await sql`update users set role = ${`r${n}`} where pool_id = ${poolId} and username = ${`w${n - 1}`}`
        if (n % 20 !== 0) continue
        const before = reached
        while (reached === before && !isEnded) await sleep(5) // the follower may be slower than this
      }
      over = true
    })()
    const query = `pool=${pool}&format=ndjson`
    let [held, gone] = [NOTHING, 0]
    const present = async () => (await one.call<{ state: string }>('GET', `/v1/states/current?pool=${pool}`)).json.state
    for (let turn = 0, last = false; !last || held.state !== (await present()); turn++) {
      last = over
      const state = await present()
      const from = turn % 2 === 0 ? one : other
      const answer = await from.call('GET', `/v1/exports/${held.state ? `${held.state}/` : ''}${state}?${query}`)
      if (answer.status === 404) {
        gone++
        t.match(answer.json, { code: 'state_gone' })
        continue
      }
      const { held: next } = applyExport(held, String(answer.raw))
      if (next.state !== state) t.fail(`${state} has the body of ${next.state}`)
      held = next
      reached++
    }
    await writing
    t.ok(reached > 1, `${reached} states reached, ${gone} gone`)
  },
)
