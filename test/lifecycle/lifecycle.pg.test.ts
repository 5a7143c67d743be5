import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { startExpiry } from '../../src/batches/expiry.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

const { call, sql } = await sharedService(t)

interface Candidate {
  batch_id: string
  user_count: number
  protected_count: number
}
interface Report {
  batches: { batch_id: string; deleted_count: number; protected_count: number }[]
  deleted_count: number
  protected_count: number
  more: boolean
}

async function make(pool: string, count: number, expiresIn?: number): Promise<string> {
  const config = { password_hash: { algorithm: 'none' } }
  const body = { count, config, pool, ...(expiresIn !== undefined && { expires_in: expiresIn }) }
  const { json } = await call<{ id: string }>('POST', '/v1/batches', { body, headers: { prefer: 'wait=30' } })
  return json.id
}

const makePool = (name: string) => call('POST', '/v1/pools', { body: { name } })
const candidates = async (query: string) =>
  (await call<{ items: Candidate[] }>('GET', `/v1/lifecycle/candidates?${query}`)).json.items
const expire = async (pool: string, dryRun: boolean) =>
  (await call<Report>('POST', `/v1/lifecycle/expire?pool=${pool}`, { body: { dry_run: dryRun } })).json
/** The shared service does not remove it. */
const inPast = (id: string) => sql`update batches set expires_at = now() - interval '1 second' where id = ${id}`

t.test('a batch is removed after its expiry time, not before', async (t) => {
  await makePool('timed')
  const expiry = startExpiry(sql, 86_400, createMetrics(), pino({ enabled: false }), 100)
  const [soon, later, never] = [await make('timed', 5, 1), await make('timed', 5, 3_600), await make('timed', 5)]
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; await sleep(100)) {
    if ((await call<{ total_count: number }>('GET', '/v1/states/current?pool=timed')).json.total_count === 10) break
  }
  const left = await sql`select distinct batch_id from users where batch_id in (${soon}, ${later}, ${never}) order by 1`
  t.strictSame(
    left.map(({ batch_id }) => batch_id),
    [later, never].toSorted(),
  )
  await expiry.stop()
})

t.test('a dry run reports what would be removed and removes nothing; the removal does exactly that', async (t) => {
  await makePool('report')
  const batch = await make('report', 7)
  const [real] = await sql<{ id: string }[]>`
    insert into users (pool_id, username, email, is_test_user, batch_id)
    select id, 'real', 'real@example.com', false, ${batch} from pools where name = 'report' returning id`
  t.strictSame(await candidates('pool=report'), [], 'it does not expire')
  t.match(await candidates('pool=report&age_days=0'), [{ batch_id: batch, user_count: 7, protected_count: 1 }])
  t.strictSame(await candidates('pool=report&age_days=1'), [])

  await sql.begin(async (tx) => {
    // The service's own check cannot run in between, because it waits for the batch's row.
    await tx`update batches set expires_at = now() - interval '1 second' where id = ${batch}`
  })
  const expected = {
    batches: [{ batch_id: batch, deleted_count: 7, protected_count: 1 }],
    deleted_count: 7,
    protected_count: 1,
    more: false,
  }
  const dry = await expire('report', true)
  const done = await expire('report', false)
  if (dry.batches.length > 0) t.match(dry, { dry_run: true, ...expected })
  if (done.batches.length > 0) t.match(done, { dry_run: false, ...expected })
  t.match(await sql`select id, username from users where batch_id = ${batch}`, [{ id: real?.id, username: 'real' }])
  t.strictSame(await candidates('pool=report'), [], 'nothing is left to remove')
})

t.test('an expired batch that is still running is cancelled', async (t) => {
  await makePool('running')
  const body = { count: 200_000, pool: 'running', config: { password_hash: { algorithm: 'none' }, chunk_size: 500 } }
  const { json } = await call<{ id: string }>('POST', '/v1/batches', { body })
  await inPast(json.id)
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; await sleep(50)) {
    await expire('running', false)
    if ((await call<{ status: string }>('GET', `/v1/batches/${json.id}?pool=running`)).json.status === 'cancelled')
      break
  }
  t.match((await call('GET', `/v1/batches/${json.id}?pool=running`)).json, { status: 'cancelled' })
  t.match((await call('GET', '/v1/states/current?pool=running')).json, { total_count: 0 })
})

t.test('a locked user delays only its own expired batch', async (t) => {
  await makePool('locked')
  const [locked, other] = [await make('locked', 1, 3_600), await make('locked', 1, 3_600)]
  const writer = await sql.reserve()
  await writer`begin`
  await writer`select from users where batch_id = ${locked} for update`
  for (const id of [locked, other]) await inPast(id)
  try {
    const { batches } = await expire('locked', false)
    t.strictSame(
      batches.map(({ batch_id }) => batch_id).filter((id) => id === locked),
      [],
    )
    const left = await sql<{ batch_id: string }[]>`select batch_id from users where batch_id in (${locked}, ${other})`
    t.same(left, [{ batch_id: locked }])
  } finally {
    await writer`rollback`
    writer.release()
  }
  await expire('locked', false)
  t.same(await sql`select from users where batch_id = ${locked}`, [], 'it is removed once the lock is released')
})

t.test('candidates are paged', async (t) => {
  await makePool('paged')
  for (let n = 0; n < 3; n++) await make('paged', 1)
  const first = await call<{ items: Candidate[]; next_cursor: string }>(
    'GET',
    '/v1/lifecycle/candidates?pool=paged&age_days=0&limit=2',
  )
  t.equal(first.json.items.length, 2)
  const rest = await candidates(`pool=paged&age_days=0&limit=2&cursor=${encodeURIComponent(first.json.next_cursor)}`)
  t.equal(new Set([...first.json.items, ...rest].map(({ batch_id }) => batch_id)).size, 3)
})

t.test('batches of a replica cannot be expired, only those of its source', async (t) => {
  await makePool('mirror')
  const batch = await make('mirror', 2)
  t.equal((await call('PATCH', '/v1/pools/mirror', { body: { replica: true } })).status, 200)
  await inPast(batch)
  for (const dry_run of [true, false]) {
    const answer = await call('POST', '/v1/lifecycle/expire?pool=mirror', { body: { dry_run } })
    t.match(answer, { status: 409, json: { code: 'pool_is_replica' } })
  }
  t.match((await call('GET', '/v1/states/current?pool=mirror')).json, { total_count: 2 })
})
