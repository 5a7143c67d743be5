import { base32, totpCode } from '../../src/passwords/totp.ts'
import { as } from '../http/keys.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'
import { API_KEYS } from './keys.ts'
import { type Lease, problem } from './pool.ts'

const t = suite()

/* Logins of leased users, for callers with the scope credentials:read. */

const { call, log } = await sharedService(t, { API_KEYS })

interface Login {
  id: string
  password: string
  password_hash: string | null
  totp_secret: string
  totp_code: string
}

const take = (body: object, key = 'lessee', headers = {}) =>
  call<Omit<Lease, 'users'> & { users: Login[] }>('POST', '/v1/leases', {
    body,
    headers: { ...as(key), ...headers },
  })

const config = { password_mode: 'per_user', password_hash: { algorithm: 'none' }, totp: true }
await call('POST', '/v1/batches', { body: { count: 6, config }, headers: { ...as('root'), prefer: 'wait=30' } })

t.test('each user has the logins that an export has, and the present code', async (t) => {
  const all = ['password', 'password_hash', 'totp_secret', 'totp_code']
  const before = Date.now()
  const { status, json } = await take({ count: 3, include: all }, 'lessee', { 'idempotency-key': 'one' })
  t.equal(status, 201)
  const exported = await call<{ users: Login[] }>(
    'GET',
    '/v1/users/export?include=password,password_hash,totp_secret',
    {
      headers: as('root'),
    },
  )
  for (const { totp_code, ...user } of json.users) {
    t.strictSame(
      user,
      exported.json.users.find(({ id }) => id === user.id),
    )
    const { json: factor } = await call<{ secret: string }>('GET', `/v1/users/${user.id}/totp`, {
      headers: as('root'),
    })
    t.equal(factor.secret, user.totp_secret)
    t.ok([before, Date.now()].some((now) => totpCode(bytesOf(user.totp_secret), now).code === totp_code))
  }
  const again = await take({ count: 3, include: all }, 'lessee', { 'idempotency-key': 'one' })
  t.strictSame(
    again.json.users.map(({ password }) => password),
    json.users.map(({ password }) => password),
  )
  t.match((await take({ include: ['password'] })).json.users, [{ password: /./, totp_code: undefined }])
  const texts = log.join('\n')
  t.notOk(json.users.some(({ password, totp_secret }) => texts.includes(password) || texts.includes(totp_secret)))
})

t.test('without the scope there are no logins, and no lease', async (t) => {
  t.match(await take({ include: ['password'] }, 'nameless'), problem(403, 'forbidden'))
  const { json } = await take({}, 'nameless')
  t.notOk('password' in (json.users[0] ?? {}))
  t.match(await call('GET', '/v1/leases/stats', { headers: as('nameless') }), { json: { leased: 5, free: 1 } })
  t.match((await call('GET', `/v1/leases/${json.id}`, { headers: as('nameless') })).json, { api_key: 'nameless' })
})

/** What base32 wrote, read again. */
function bytesOf(text: string): Buffer {
  const bits = [...text].map((char) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(char).toString(2).padStart(5, '0'))
  const bytes = Buffer.from((bits.join('').match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)))
  if (base32(bytes) !== text) throw new Error('wrong base32')
  return bytes
}
