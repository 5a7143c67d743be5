import type { Batch } from '../../src/batches/batches.ts'
import { base32, totpCode } from '../../src/passwords/totp.ts'
import { as, WITH_KEYS } from '../http/keys.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

/* The second factor of users, as exports and GET /v1/users/{id}/totp tell it. */

const { call, log, sql } = await sharedService(t, WITH_KEYS)

const exported = (query: string, key = 'logins') => call('GET', `/v1/users/export?${query}`, { headers: as(key) })
const totpOf = (id: string, key = 'logins') => call<Totp>('GET', `/v1/users/${id}/totp`, { headers: as(key) })

interface Totp {
  secret: string
  uri: string
  code: string
  expires_in: number
}

interface User {
  id: string
  username: string
  totp_secret: string | null
}

const NO_HASH = { password_hash: { algorithm: 'none' } }

async function make(config: object, count = 3): Promise<Batch> {
  const headers = { ...as('root'), prefer: 'wait=60' }
  const { status, json } = await call<Batch>('POST', '/v1/batches', { body: { count, config }, headers })
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(json)}`)
  return json
}

async function usersOf({ id }: Batch): Promise<User[]> {
  return ((await exported(`include=totp_secret&batch_id=${id}`)).json as { users: User[] }).users
}

/** What base32 wrote, read again. */
function bytesOf(text: string): Buffer {
  const bits = [...text].map((char) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(char).toString(2).padStart(5, '0'))
  return Buffer.from((bits.join('').match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)))
}

t.test(
  'every user has a secret of its own, also behind one shared password, and the present code follows',
  async (t) => {
    const batch = await make({ ...NO_HASH, password: 'TestPass123!', totp: true })
    t.match(batch.config, { totp: true })
    const users = await usersOf(batch)
    t.equal(new Set(users.map(({ totp_secret }) => totp_secret)).size, 3)
    for (const { id, username, totp_secret } of users) {
      const before = Date.now()
      const { status, json, headers } = await totpOf(id)
      t.match({ status, headers }, { status: 200, headers: { 'cache-control': 'no-store' } })
      t.match(json, { secret: totp_secret, code: /^\d{6}$/ })
      t.match(json.uri, `otpauth://totp/usersync:${encodeURIComponent(username)}?secret=${totp_secret}&issuer=usersync`)
      t.ok(json.expires_in >= 1 && json.expires_in <= 30)
      const secret = bytesOf(json.secret)
      t.equal(base32(secret), json.secret)
      t.ok([before, Date.now()].some((now) => totpCode(secret, now).code === json.code))
    }
    const texts = log.join('\n')
    t.notOk(users.some(({ totp_secret }) => texts.includes(totp_secret ?? 'none')))
    const [row] = await sql`select totp_ciphertext from batches where id = ${batch.id}`
    t.equal(row?.['totp_ciphertext'].length, 12 + 16 + 64, 'encrypted, with nonce and tag')
  },
)

t.test('in every format and in a delta, after the user line, which stays what it is', async (t) => {
  const batch = await make({ ...NO_HASH, totp: true })
  const secrets = (await usersOf(batch)).map(({ totp_secret }) => totp_secret)
  const all = 'include=totp_secret,password,password_hash'
  const ndjson = (await exported(`${all}&format=ndjson&batch_id=${batch.id}`)).raw.toString().trim().split('\n')
  t.strictSame(
    ndjson.slice(1, -1).map((line) => (JSON.parse(line) as User).totp_secret),
    secrets,
  )
  const bare = (await exported(`format=ndjson&batch_id=${batch.id}`)).raw.toString().trim().split('\n').slice(1, -1)
  const credentials = /,"password":"[^"]*","password_hash":null,"totp_secret":"[A-Z2-7]{32}"\}$/
  t.strictSame(
    ndjson.slice(1, -1).map((line) => line.replace(credentials, '}')),
    bare,
  )
  const csv = (await exported(`${all}&format=csv&batch_id=${batch.id}`)).raw.toString().trim().split('\n')
  t.match(csv[0], /,password,password_hash,totp_secret$/)
  t.strictSame(
    csv.slice(1).map((line) => line.split(',').at(-1)),
    secrets,
  )
  await sql`update users set role = 'changed' where batch_id = ${batch.id}`
  const delta = await exported(`include=totp_secret&batch_id=${batch.id}&base=${batch.state}`)
  const { updated } = delta.json as { updated: User[] }
  t.strictSame(new Set(updated.map(({ totp_secret }) => totp_secret)), new Set(secrets))
})

t.test('a user keeps the secret in another batch; with the batch’s last user the key goes', async (t) => {
  const [from, to] = [await make({ ...NO_HASH, totp: true }, 1), await make(NO_HASH, 1)]
  const [user] = await usersOf(from)
  await sql`update users set batch_id = ${to.id} where batch_id = ${from.id}`
  t.equal((await totpOf(user?.id ?? '')).json.secret, user?.totp_secret)
  t.match(new Set((await usersOf(to)).map(({ totp_secret }) => totp_secret)), new Set([user?.totp_secret, null]))
  await call('DELETE', `/v1/batches/${to.id}`, { headers: as('root') })
  await call('DELETE', `/v1/batches/${from.id}`, { headers: as('root') })
  t.strictSame(
    [...(await sql`select totp_ciphertext, password_ciphertext from batches where id = ${from.id}`)],
    [{ totp_ciphertext: null, password_ciphertext: null }],
  )
})

t.test('who has none, who does not exist, who is protected, and who may not ask', async (t) => {
  const [without] = await usersOf(await make(NO_HASH, 1))
  t.equal(without?.totp_secret, null)
  t.match(await totpOf(without?.id ?? ''), { status: 404, json: { code: 'totp_not_found' } })
  t.match(await totpOf('01890000-0000-7000-8000-000000000001'), { status: 404, json: { code: 'user_not_found' } })
  t.match(await totpOf('not-an-id'), { status: 400, json: { code: 'invalid_request' } })
  const [chief] = await sql<{ id: string }[]>`
    insert into users (username, email, is_test_user) values ('chief', 'chief@real-company.com', false) returning id`
  t.match(await totpOf(chief?.id ?? ''), { status: 404, json: { code: 'user_not_found' } })
  t.match(await totpOf(chief?.id ?? '', 'root'), { status: 404, json: { code: 'totp_not_found' } })
  t.match(await totpOf(without?.id ?? '', 'reader'), { status: 403, json: { code: 'forbidden' } })
  t.match(await exported('include=totp_secret', 'reader'), { status: 403, json: { code: 'forbidden' } })
  t.match(await exported('include=totp_secret,totp_secret'), { status: 400, json: { code: 'invalid_request' } })
})
