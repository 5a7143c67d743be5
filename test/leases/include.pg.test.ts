import { base32, totpCode } from '../../src/passwords/totp.ts'
import { startService } from '../http/service.ts'
import { suite } from '../suite.ts'
import { type Lease, problem } from './pool.ts'

const t = suite()

/* Logins of leased users, for callers with the scope credentials:read. */

const LESSEE = 'lessee-s3cret-of-32-characters-or-more'
const LOGINS = 'logins-s3cret-of-32-characters-or-more'
const ROOT = 'root-s3cret-of-32-characters-or-more!!'
const API_KEYS = `lessee=users:lease=${LESSEE},logins=users:lease+credentials:read=${LOGINS},root=admin=${ROOT}`
const { call, log } = await startService(t, { API_KEYS, MAX_WORKERS: '1' })

interface Login {
  id: string
  password: string
  password_hash: string | null
  totp_secret: string
  totp_code: string
}

const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` })
const take = (body: object, key = LOGINS, headers = {}) =>
  call<Omit<Lease, 'users'> & { users: Login[] }>('POST', '/v1/leases', {
    body,
    headers: { ...bearer(key), ...headers },
  })

const config = { password_mode: 'per_user', password_hash: { algorithm: 'none' }, totp: true }
await call('POST', '/v1/batches', { body: { count: 6, config }, headers: { ...bearer(ROOT), prefer: 'wait=30' } })

t.test('each user has the logins that an export has, and the present code', async (t) => {
  const all = ['password', 'password_hash', 'totp_secret', 'totp_code']
  const before = Date.now()
  const { status, json } = await take({ count: 3, include: all }, LOGINS, { 'idempotency-key': 'one' })
  t.equal(status, 201)
  const exported = await call<{ users: Login[] }>(
    'GET',
    '/v1/users/export?include=password,password_hash,totp_secret',
    {
      headers: bearer(ROOT),
    },
  )
  for (const { totp_code, ...user } of json.users) {
    t.strictSame(
      user,
      exported.json.users.find(({ id }) => id === user.id),
    )
    const { json: factor } = await call<{ secret: string }>('GET', `/v1/users/${user.id}/totp`, {
      headers: bearer(ROOT),
    })
    t.equal(factor.secret, user.totp_secret)
    t.ok([before, Date.now()].some((now) => totpCode(bytesOf(user.totp_secret), now).code === totp_code))
  }
  const again = await take({ count: 3, include: all }, LOGINS, { 'idempotency-key': 'one' })
  t.strictSame(
    again.json.users.map(({ password }) => password),
    json.users.map(({ password }) => password),
  )
  t.match((await take({ include: ['password'] })).json.users, [{ password: /./, totp_code: undefined }])
  const texts = log.join('\n')
  t.notOk(json.users.some(({ password, totp_secret }) => texts.includes(password) || texts.includes(totp_secret)))
})

t.test('without the scope there are no logins, and no lease', async (t) => {
  t.match(await take({ include: ['password'] }, LESSEE), problem(403, 'forbidden'))
  const { json } = await take({}, LESSEE)
  t.notOk('password' in (json.users[0] ?? {}))
  t.match(await call('GET', '/v1/leases/stats', { headers: bearer(LESSEE) }), { json: { leased: 5, free: 1 } })
  t.match((await call('GET', `/v1/leases/${json.id}`, { headers: bearer(LESSEE) })).json, { api_key: 'lessee' })
})

/** What base32 wrote, read again. */
function bytesOf(text: string): Buffer {
  const bits = [...text].map((char) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(char).toString(2).padStart(5, '0'))
  const bytes = Buffer.from((bits.join('').match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)))
  if (base32(bytes) !== text) throw new Error('wrong base32')
  return bytes
}
