import type { Test } from 'tap'
import type { Batch } from '../../src/batches/batches.ts'
import { stateFromScratch } from '../export/observe.ts'
import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/* Batches at the limits, and one beyond. */

const MAX_USERS = 2_000
const { sql, call } = await sharedService(t, { MAX_BATCH_USERS: String(MAX_USERS) })

async function make(count: number, members: object = {}, label?: string): Promise<Batch> {
  const body = { count, label, config: { password_hash: { algorithm: 'none' }, ...members } }
  const { json, status } = await call<Batch>('POST', '/v1/batches', { body, headers: { prefer: 'wait=60' } })
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(json)}`)
  return json
}

/** Checks that exactly the users of the batch exist, in the state that the batch reports. */
async function checkMade(t: Test, batch: Batch, count: number) {
  t.match(batch, { status: 'completed', created_count: count, failed_count: 0 })
  const rows = await sql`
    select count(*)::int as count, count(distinct username)::int as names from users where batch_id = ${batch.id}`
  t.same(rows, [{ count, names: count }])
  t.equal(batch.state, await stateFromScratch(sql, 1, { batchId: batch.id, testUsersOnly: true, bulkUsersOnly: false }))
}

t.test('a batch can have MAX_BATCH_USERS users, and not one more', async (t) => {
  await checkMade(t, await make(MAX_USERS), MAX_USERS)
  t.match(await call('POST', '/v1/batches', { body: { count: MAX_USERS + 1 } }), {
    status: 400,
    json: { code: 'invalid_request', errors: [{ path: 'body.count', code: 'maximum', message: /2000/ }] },
  })
})

t.test('an import has at most MAX_BATCH_USERS rows', async (t) => {
  const rows = (count: number) => Array.from({ length: count }, (_, n) => `{"username":"r${n}@example.com"}\n`).join('')
  const users = async () => (await sql<{ count: number }[]>`select count(*)::int as count from users`)[0]?.count ?? 0
  const before = await users()
  const headers = { 'content-type': 'application/x-ndjson' }
  const send = (count: number) => call('POST', '/v1/users/import', { body: rows(count), headers })
  t.match(await send(MAX_USERS + 1), { status: 413, json: { code: 'body_too_large', detail: /2,?000 rows/ } })
  t.equal(await users(), before)
  t.match(await send(MAX_USERS), { status: 201, json: { created_count: MAX_USERS } })
})

t.test('a batch can have one chunk per user', async (t) => {
  const count = sized(30, 100)
  const batch = await make(count, { chunk_size: 1 })
  await checkMade(t, batch, count)
  t.equal(batch.profile.chunks, count)
})

t.test('names can have 254 characters', async (t) => {
  const domain = '@example.com'
  const longest = `{batch}_{n}_${'x'.repeat(254 - domain.length - 10 - 2 - 2)}${domain}` // {batch} has 10 characters, {n} 1 or 2
  await checkMade(t, await make(99, { username_pattern: longest }), 99)
  const [row] = await sql`select max(char_length(username))::int as longest from users`
  t.same(row, { longest: 254 })
  t.match(await call('POST', '/v1/batches', { body: { count: 100, config: { username_pattern: longest } } }), {
    status: 400,
    json: { code: 'pattern_invalid', detail: /255/ },
  })
})

t.test('attributes of 10 KB, and names and a label from every Unicode plane, are stored unchanged', async (t) => {
  // Planes 15 and 16 are for private use, and 4 to 13 have no characters yet, but their code points are valid text.
  const planes = Array.from({ length: 17 }, (_, plane) => String.fromCodePoint(plane * 0x1_0000 + 0x1234)).join('')
  const custom_attributes = { text: 'ä"\\\n'.repeat(2_000), [planes]: planes }
  const label = `checkout ${planes}`
  const username_pattern = `${planes}_{id}`
  const batch = await make(50, { custom_attributes, username_pattern, role: planes }, label)
  t.equal(batch.label, label)
  await checkMade(t, batch, 50)
  const { json } = await call<{ users: { username: string; custom_attributes: object; role: string }[] }>(
    'GET',
    `/v1/users/export?batch_id=${batch.id}`,
  )
  t.equal(json.users.length, 50)
  for (const user of json.users) {
    t.strictSame([user.custom_attributes, user.role], [custom_attributes, planes])
    t.ok(user.username.startsWith(`${planes}_`))
  }
})
