import type { Batch } from '../../src/batches/batches.ts'
import { pruneStep } from '../../src/states/retention.ts'
import { sharedService } from '../http/shared-service.ts'
import { openTransaction } from '../open-transaction.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { applyExport, type Held } from './apply-export.ts'
import { NOTHING } from './observe.ts'

const t = suite()

/*
 * Two services on one database, writers that use the API and plain SQL, and transactions that stay open across exports.
 */

const ROUNDS = sized(5, 12)
const one = await sharedService(t)
const other = await sharedService(t, { DATABASE_URL: one.databaseUrl })
const { sql } = one

const random = (most: number) => Math.floor(Math.random() * most)

async function makeBatch(count: number): Promise<Batch> {
  const config = { password_hash: { algorithm: 'none' }, chunk_size: 7 }
  const headers = { prefer: 'wait=30' }
  return (await one.call<Batch>('POST', '/v1/batches', { body: { count, config }, headers })).json
}

async function hold(service: typeof one, query: string, held: Held = NOTHING) {
  const base = held.state === undefined ? '' : `&base=${held.state}`
  const { raw } = await service.call('GET', `/v1/users/export?format=ndjson${query}${base}`)
  return applyExport(held, raw.toString())
}

const sorted = (lines: Map<string, string>) => new Map([...lines].toSorted())

t.test('every base leads to the current state, at both services', async (t) => {
  const watched = await makeBatch(30)
  const batches = [watched]
  const filters = ['', `&batch_id=${watched.id}`]
  const seen = new Map(filters.map((filter) => [filter, [] as Held[]]))
  const someUser = async () =>
    (await sql<{ id: string }[]>`select id from users order by random() limit 1`)[0]?.id ?? ''

  for (let round = 0; round < ROUNDS; round++) {
    const open = round % 2 === 0 ? await openTransaction(t, sql) : undefined
    if (open) {
      await open`update users set role = ${`open ${round}`} where batch_id = ${watched.id} and username like ${`%${random(10)}`}`
      await open`insert into users (username, email, batch_id) values (${`open${round}`}, ${`open${round}@example.com`}, ${watched.id})`
    }
    const writers = [
      async () => void batches.push(await makeBatch(1 + random(20))),
      async () =>
        void (await one.call('PATCH', `/v1/users/${await someUser()}`, { body: { role: `patched ${round}` } })),
      async () => void (await other.call('DELETE', `/v1/users/${await someUser()}`)),
      () => sql`insert into users (username, email) values (${`sql${round}`}, ${`sql${round}@example.com`})`,
      // does not wait: skips rows that the open transaction has locked
      () => sql`
        update users set batch_id = ${batches[random(batches.length)]?.id ?? null}
        where id in (select id from users order by random() limit 3 for update skip locked)`,
      () => sql`
        delete from users where id in (select id from users order by random() limit 2 for update skip locked)`,
      () => sql`
        update users set is_test_user = not is_test_user
        where id in (select id from users order by random() limit 2 for update skip locked)`,
    ]
    const held = Promise.all(writers.map((write) => write()))
    for (const filter of filters) seen.get(filter)?.push((await hold(round % 3 ? one : other, filter)).held)
    await open?.commit()
    await held
    for (const filter of filters) seen.get(filter)?.push((await hold(other, filter)).held)
  }

  for (const [filter, bases] of seen) {
    const [present, same] = [(await hold(one, filter)).held, (await hold(other, filter)).held]
    t.equal(present.state, same.state, 'both report the same state')
    for (const [i, base] of bases.entries()) {
      const { head, held } = await hold(i % 2 ? one : other, filter, base)
      t.not(head.kind, 'full', 'no base is unknown')
      t.strictSame(sorted(held.lines), sorted(present.lines))
    }
    t.ok(new Set(bases.map(({ state }) => state)).size > ROUNDS / 2, 'the state changed between the rounds')
  }

  while ((await pruneStep(sql, 1, 0)).commits > 0);
  for (const [filter, bases] of seen) {
    const base = bases[0] as Held
    const { head } = await hold(one, filter, base)
    t.match(head, { kind: 'full', reason: 'expired' }, 'after pruning the base is expired')
  }
})
