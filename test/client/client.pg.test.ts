import { createClient } from '../../client/index.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

/* The client's methods against the service. */

const { url, sql } = await sharedService(t)
const client = createClient({ url })
const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error) => error,
  )
const CONFIG = { password_hash: { algorithm: 'none' as const } }

t.test('batches: create, watch, list, failures, delete', async (t) => {
  const batch = await client.batches.create({ count: 500, label: 'one', config: CONFIG })
  const seen = await Array.fromAsync(client.batches.watch(batch.id))
  t.match(seen.at(-1), { id: batch.id, status: 'completed', created_count: 500 })
  t.match(await client.batches.finished(batch.id), { status: 'completed' }, 'of a batch that has ended')
  t.match(await Array.fromAsync(client.batches.list()), [{ id: batch.id, label: 'one' }])
  t.strictSame(await Array.fromAsync(client.batches.failures(batch.id)), [])
  t.match(await client.batches.preview({ count: 2, config: CONFIG }), { users: [{}, {}] })
  t.match(await client.batches.cancel(batch.id), { status: 'completed' })
  t.match(await client.batches.delete(batch.id), { deleted_count: 500 })
  t.match(await client.batches.delete(batch.id), { deleted_count: 0 })
})

t.test('a batch is watched without events too', async (t) => {
  const noEvents: typeof fetch = (input, init) =>
    String(input).includes('/events') ? Promise.resolve(new Response('<html>', { status: 502 })) : fetch(input, init)
  const behindProxy = createClient({ url, fetch: noEvents, attempts: 1 })
  const { id } = await behindProxy.batches.create({ count: 1, config: CONFIG }, { waitSeconds: 60 })
  t.match(await behindProxy.batches.finished(id), { status: 'completed' })
  t.match(await failure(behindProxy.batches.finished('01a00000-0000-7000-8000-000000000000')), {
    code: 'batch_not_found',
  })
  await client.batches.delete(id)
})

t.test('the same Idempotency-Key returns the same batch', async (t) => {
  const create = () =>
    client.batches.create({ count: 1, config: CONFIG }, { idempotencyKey: 'release-7', waitSeconds: 60 })
  const [one, other] = [await create(), await create()]
  t.equal(one.id, other.id)
  await client.batches.delete(one.id)
})

t.test('users: import, list, get, update, export, delete', async (t) => {
  function* generated() {
    for (let n = 0; n < 250; n++) yield { username: `g${n}`, email: `g${n}@example.com`, custom_attributes: { n } }
  }
  t.match(await client.users.import(generated()), { kind: 'import', created_count: 250 })
  t.match(await client.users.import([{ username: 'ada', email: 'ada@example.com' }], { label: 'array' }), {
    label: 'array',
  })
  t.match(await client.users.import('username,email\ncy,cy@example.com\n', { format: 'csv' }), { created_count: 1 })
  const bytes = new Blob(['[{"username": "bo", "email": "bo@example.com"}]']).stream()
  t.match(await client.users.import(bytes, { format: 'json' }), { created_count: 1 })
  t.match(await failure(client.users.import([{ username: 'ada', email: 'ada@example.com' }])), {
    code: 'import_conflict',
  })

  const listed = await Array.fromAsync(client.users.list({ limit: 100, sort: 'username' }))
  t.equal(listed.length, 253, 'over three pages')
  t.match(listed[0], { username: 'ada' })
  const { id } = listed[0] ?? { id: '' }
  t.match(await client.users.update(id, { custom_attributes: { plan: 'gold' } }), {
    custom_attributes: { plan: 'gold' },
  })
  t.match(await client.users.get(id), { username: 'ada', custom_attributes: { plan: 'gold' } })
  t.equal((await Array.fromAsync(client.users.export())).length, 253)
  await client.users.delete(id)
  t.match(await failure(client.users.get(id)), { code: 'user_not_found', status: 404, requestId: /./ })
  await sql`delete from users`
})

t.test('an upload that fails on the client’s side imports nothing', async (t) => {
  function* broken() {
    yield { username: 'half', email: 'half@example.com' }
    throw new Error('the source broke')
  }
  t.match(await failure(client.users.import(broken())), { message: 'the source broke' })
  t.match(await client.request('getStats'), { total_users: 0 })
})

t.test('request() reaches an operation of every kind', async (t) => {
  const body = { name: 'fast', description: 'x', config: { role: 'guest' } }
  t.match(await client.request('createTemplate', { body }), { name: 'fast' })
  t.match(await client.request('getTemplate', { path: { name: 'fast' } }), { config: { role: 'guest' } })
  t.equal(await client.request('deleteTemplate', { path: { name: 'fast' } }), undefined)
  t.match(await client.request('getMetrics'), /^# HELP/)
  t.match(await client.request('exportUsers', { query: { format: 'csv' } }), /^id,username/)
  t.match(await client.request('getHealth'), { status: 'ready' })
  await client.checkVersion()
})
