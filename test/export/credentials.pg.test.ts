import type { Batch } from '../../src/batches/batches.ts'
import { ALGORITHMS } from '../../src/passwords/hash-password.ts'
import { stateOf } from '../../src/protocol/state.ts'
import { as, WITH_KEYS } from '../http/keys.ts'
import { sharedService } from '../http/shared-service.ts'
import { verifyLogin } from '../passwords/verify-login.ts'
import { suite } from '../suite.ts'

const t = suite()

/* Exported credentials, with which a load generator logs in. */

const { call, log, sql } = await sharedService(t, WITH_KEYS)

const BOTH = 'include=password,password_hash'
const get = (query: string, key = 'logins') => call('GET', `/v1/users/export?${query}`, { headers: as(key) })

async function make(config: object, count = 3): Promise<Batch> {
  const headers = { ...as('maker'), prefer: 'wait=60' }
  const { status, json } = await call<Batch>('POST', '/v1/batches', { body: { count, config }, headers })
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(json)}`)
  return json
}

interface Login {
  id: string
  password: string | null
  password_hash: string | null
}

async function logins({ id }: Batch): Promise<Login[]> {
  const { raw } = await get(`format=ndjson&${BOTH}&batch_id=${id}`)
  return raw
    .toString()
    .trim()
    .split('\n')
    .slice(1, -1)
    .map((line) => JSON.parse(line) as Login)
}

/** Low costs. The defaults have a test in test/passwords. */
const HASHES = [
  { algorithm: 'argon2id', memory_kib: 64 },
  { algorithm: 'scrypt', n: 1_024 },
  { algorithm: 'bcrypt', cost: 4 },
  { algorithm: 'pbkdf2_sha256', iterations: 1_000 },
  { algorithm: 'better_auth' },
]

t.test('every algorithm is verified below', (t) => {
  t.strictSame([...HASHES.map(({ algorithm }) => algorithm), 'none'], [...ALGORITHMS])
  t.end()
})

for (const password_hash of HASHES) {
  const { algorithm } = password_hash

  t.test(`${algorithm}: an exported password matches its exported hash, and no other password does`, async (t) => {
    const perUser = { password_mode: 'per_user', password_hash }
    const [one, other] = (await logins(await make(perUser, 2))) as [Login, Login]
    t.not(one.password, other.password)
    t.not(one.password_hash, other.password_hash)
    t.ok(await verifyLogin(one.password_hash ?? '', one.password ?? ''))
    t.notOk(await verifyLogin(one.password_hash ?? '', other.password ?? ''))

    const password = 'pässwörd s3cret ☃ 😀'
    const shared = await logins(await make({ password, password_hash }, 2))
    t.match(shared, [{ password }, { password }])
    t.equal(new Set(shared.map(({ password_hash }) => password_hash)).size, 1, 'one distinct hash')
    t.ok(await verifyLogin(shared[0]?.password_hash ?? '', password))
  })
}

t.test('credentials follow the user’s line, which is otherwise unchanged', async (t) => {
  const batch = await make({ password_hash: { algorithm: 'none' } })
  const plain = (await get(`format=ndjson&batch_id=${batch.id}`)).raw.toString().trim().split('\n').slice(1, -1)
  const { raw, headers } = await get(`format=ndjson&${BOTH}&batch_id=${batch.id}`)
  const lines = raw.toString().trim().split('\n').slice(1, -1)
  t.strictSame(
    lines.map((line) => line.replace(/,"password":"[^"]*","password_hash":null\}$/, '}')),
    plain,
  )
  t.equal(stateOf(plain), batch.state)
  t.equal(headers['usersync-state'], batch.state)
  const json = await get(`${BOTH}&batch_id=${batch.id}`)
  t.strictSame(
    (json.json as { users: Login[] }).users,
    lines.map((line) => JSON.parse(line)),
  )
})

t.test('a delta includes credentials, and a user inserted by SQL has none', async (t) => {
  const before = (await make({ password_hash: { algorithm: 'none' } })).id
  const { headers } = await get('')
  await sql`insert into users (username, email) values ('by-hand', 'by-hand@example.com')`
  await sql`update users set role = 'changed' where batch_id = ${before} and username like '%1%'`
  const delta = await get(`${BOTH}&base=${headers['usersync-state']}`)
  const { kind, added, updated } = delta.json as { kind: string; added: Login[]; updated: Login[] }
  t.equal(kind, 'delta')
  t.match(added, [{ password: null, password_hash: null }])
  t.ok(updated.every(({ password }) => typeof password === 'string'))
})

t.test('credentials need their scope and are never logged', async (t) => {
  t.match(await get(BOTH, 'reader'), { status: 403, json: { code: 'forbidden', detail: /credentials:read/ } })
  t.match(await get('include=secrets'), { status: 400, json: { code: 'invalid_request' } })
  const secret = 'Planted-S3cret-To-Look-For'
  const batch = await make({ password: secret }, 1)
  t.match(await logins(batch), [{ password: secret }])
  t.notOk(log.some((line) => line.includes(secret)))
})
