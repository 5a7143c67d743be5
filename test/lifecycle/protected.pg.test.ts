import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import type { Batch } from '../../src/batches/batches.ts'
import { startExpiry } from '../../src/batches/expiry.ts'
import { readConfig } from '../../src/config/config.ts'
import { JOBS } from '../../src/jobs/jobs.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

/*
 * A user that is not a test user, put into a batch by plain SQL, survives every way to end the batch and is reported as
 * protected.
 */

const { call, sql } = await sharedService(t)

/** A batch of two test users and one that is not, with that user's complete row. */
async function batchWithReal(name: string) {
  const config = { password_hash: { algorithm: 'none' } }
  const headers = { prefer: 'wait=60' }
  const { json } = await call<Batch>('POST', '/v1/batches', { body: { count: 2, config }, headers })
  const [real] = await sql<{ id: string }[]>`
    insert into users (username, email, is_test_user, batch_id, created_by_bulk)
    values (${name}, ${`${name}@example.com`}, false, ${json.id}, true) returning id`
  const row = async () => await sql`select u.*, u.xmin::text from users u where id = ${real?.id ?? ''}`
  const others = async () =>
    (await sql`select from users where batch_id = ${json.id} and id <> ${real?.id ?? ''}`).length
  return { batch: json.id, id: real?.id ?? '', row, others, before: await row() }
}

/** The counts of each removal of the batch by the service itself, which checks every ten seconds. */
const removals = async (batch: string) =>
  (await sql<{ counts: object }[]>`select counts from audit_events where action = 'expiry' and subject = ${batch}`).map(
    ({ counts }) => counts,
  )
const JSON_TYPE = { 'content-type': 'application/json' }
const COUNTS = { deleted_count: 2, protected_count: 1 }

t.test('a protected user cannot be changed or deleted', async (t) => {
  const { id, row, before } = await batchWithReal('single')
  for (const [method, body] of [['DELETE'], ['PATCH', { role: 'x' }], ['PATCH', { email: 'x@example.com' }]] as const) {
    const answer = await call(method, `/v1/users/${id}`, { ...(body && { body }) })
    t.match(answer, { status: 403, json: { code: 'user_protected' } }, method)
  }
  t.strictSame(await row(), before)
})

t.test('deleting its batch keeps a protected user', async (t) => {
  const { batch, row, others, before } = await batchWithReal('deleted')
  t.match(await call('DELETE', `/v1/batches/${batch}`), { status: 200, json: COUNTS })
  t.match(await call('DELETE', `/v1/batches/${batch}`), { json: { deleted_count: 0, protected_count: 1 } }, 'again')
  t.equal(await others(), 0)
  t.strictSame(await row(), before)
})

t.test('imports cannot change a protected user, whichever of its keys they use', async (t) => {
  const { batch, id, row, before } = await batchWithReal('imported')
  const named = [
    { id, username: 'other', email: 'other@example.com' },
    { username: 'imported', email: 'other@example.com' },
    { username: 'other', email: 'imported@example.com' },
    { id, username: 'imported', email: 'imported@example.com', is_test_user: true, batch_id: batch, role: 'x' },
  ]
  for (const user of named) {
    const importWith = (mode: string) =>
      call<Batch>('POST', `/v1/users/import?on_conflict=${mode}`, { body: JSON.stringify([user]), headers: JSON_TYPE })
    t.match(await importWith('fail'), { status: 409, json: { code: 'import_conflict' } })
    for (const mode of ['skip', 'update']) {
      const answer = await importWith(mode)
      const count = mode === 'skip' ? 'skipped_count' : 'failed_count'
      t.match(answer, { status: 201, json: { created_count: 0, [count]: 1 } }, mode)
      const { json } = await call<{ items: { code: string }[] }>('GET', `/v1/batches/${answer.json.id}/failures`)
      const byMail = user.username === 'other' && !('id' in user)
      const code = mode === 'update' && !byMail ? 'user_protected' : /_taken$/
      t.match(json.items, [{ code }], `${mode}: listed`)
      t.match(await call('DELETE', `/v1/batches/${answer.json.id}`), { json: { deleted_count: 0, protected_count: 0 } })
    }
  }
  t.strictSame(await row(), before)
})

t.test('expiry by request, by job and by the service keeps a protected user', async (t) => {
  const ways: Record<string, (batch: string) => Promise<unknown>> = {
    async request() {
      const { json } = await call<{ batches: object[] }>('POST', '/v1/lifecycle/expire', { body: {} })
      return json.batches
    },
    async job() {
      const signal = new AbortController().signal
      const context = { sql, databaseUrl: '', config: readConfig({}), log: pino({ enabled: false }), signal }
      const { batches, ...counts } = (await JOBS['expire']?.run(context, { parameters: {} } as never)) ?? {}
      return batches === 0 ? [] : [counts]
    },
    async service(batch) {
      const expiry = startExpiry(sql, 86_400, createMetrics(), pino({ enabled: false }), 100)
      for (let i = 0; i < 300 && (await removals(batch)).length === 0; i++) await sleep(100)
      await expiry.stop()
      return []
    },
  }
  for (const [way, expire] of Object.entries(ways)) {
    const { batch, row, others, before } = await batchWithReal(way)
    await sql`update batches set expires_at = now() - interval '1 second' where id = ${batch}`
    const reported = (await expire(batch)) as object[]
    // The service's own check may have come in between.
    t.match([...reported, ...(await removals(batch))], [COUNTS], way)
    t.equal(await others(), 0)
    t.strictSame(await row(), before)
    t.match(
      (await call<{ items: object[] }>('GET', '/v1/lifecycle/candidates')).json.items,
      [],
      'a batch with only protected users is no candidate',
    )
  }
})

t.test('a pool with a protected user cannot be deleted', async (t) => {
  const { row, before } = await batchWithReal('pool')
  t.match(await call('DELETE', '/v1/pools/default'), { status: 409, json: { code: 'pool_in_use' } })
  t.strictSame(await row(), before)
})
