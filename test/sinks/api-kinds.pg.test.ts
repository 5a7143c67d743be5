import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { AUTH0_TOKEN, CONNECTION, startAuth0 } from './fakes/auth0.ts'
import type { FakeSystem, FakeUser } from './fakes/fake-api.ts'
import { FUSIONAUTH_KEY, startFusionAuth } from './fakes/fusionauth.ts'
import { KEYCLOAK_CLIENT, startKeycloak } from './fakes/keycloak.ts'
import { startKratos } from './fakes/kratos.ts'
import { ARGON2ID, CHEAP_HASH, sinkRoutes, sinkService } from './sink.ts'

const t = suite()

/* The kinds whose systems cannot be had here, against strict servers that stand for them. */

const USERS = sized(24, 200)
const realm = { realm: 'shop', client_id: KEYCLOAK_CLIENT.client_id }

interface Kind {
  start: (t: Test) => Promise<FakeSystem>
  target: Record<string, unknown>
  /** The hashes of its users. */
  hash: object
  /** Hashes that the system does not take. */
  otherHash: object
  /** Whether the system has usernames beside emails. */
  hasUsernames: boolean
  /** Whether the system gives its users ids of its own. */
  givesIds: boolean
}

const KINDS: Record<string, Kind> = {
  keycloak: {
    start: startKeycloak,
    target: { key: KEYCLOAK_CLIENT.client_secret, mapping: realm },
    hash: ARGON2ID,
    otherHash: { algorithm: 'bcrypt', cost: 4 },
    hasUsernames: true,
    givesIds: true,
  },
  kratos: {
    start: startKratos,
    target: {},
    hash: { algorithm: 'bcrypt', cost: 4 },
    otherHash: { preset: 'better-auth' },
    hasUsernames: false,
    givesIds: true,
  },
  fusionauth: {
    start: startFusionAuth,
    target: { key: FUSIONAUTH_KEY },
    hash: CHEAP_HASH,
    otherHash: ARGON2ID,
    hasUsernames: false,
    givesIds: false,
  },
  auth0: {
    start: startAuth0,
    target: { key: AUTH0_TOKEN, mapping: { connection_id: CONNECTION } },
    hash: { algorithm: 'bcrypt', cost: 4 },
    otherHash: { preset: 'better-auth' },
    hasUsernames: false,
    givesIds: false,
  },
}

const OWN: FakeUser = { id: 'own', username: 'own', email: 'own@example.com', role: 'owner', hash: '', mark: undefined }

const service = await sinkService(t)
const { call, sql, log } = service

/** A pool of its own for a test: its name, its id, and what the test does with its routes. */
async function makePool(name: string) {
  await call('POST', '/v1/pools', { body: { name } })
  const [row] = await sql<{ id: number }[]>`select id from pools where name = ${name}`
  return { pool: name, poolId: row?.id ?? 0, ...sinkRoutes(service, name) }
}

/** The user gets another id of the system. */
function moveUser({ users }: FakeSystem, user: FakeUser): void {
  users.delete(user.id)
  const id = randomUUID()
  users.set(id, { ...user, id })
}

for (const [kind, { start, target, hash, otherHash, hasUsernames, givesIds }] of Object.entries(KINDS)) {
  t.test(kind, async (t) => {
    const system = await start(t)
    system.users.set(OWN.id, OWN)
    const { pool, poolId, create, sync, clear, failures, batch } = await makePool(kind)
    const make = (count: number, config = {}) =>
      batch(count, { username_pattern: 'u{id}@example.com', password_hash: hash, ...config })

    async function isInStep(t: Test, what: string): Promise<void> {
      const wanted = await sql<{ id: string; username: string; email: string; role: string }[]>`
        select id, username, email, role from users where pool_id = ${poolId} and email <> ${OWN.email} order by id`
      const found = [...system.users.values()].filter(({ mark }) => mark !== undefined)
      const rowOf = ({ username, ...row }: (typeof wanted)[number]) => (hasUsernames ? { username, ...row } : row)
      const present = found.map(({ mark = '', username, email, role }) => rowOf({ id: mark, username, email, role }))
      t.strictSame(
        present.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
        wanted.map(rowOf),
        what,
      )
      t.strictSame(system.users.get(OWN.id), OWN, 'the own user of the system is untouched')
    }

    const made = await create({ kind, name: 's', url: system.url, limits: { batch: sized(9, 15) }, ...target })
    t.match(made, { status: 201, json: { kind } })
    await make(USERS)
    const dry = await call('POST', '/v1/sync', { body: { pool, target: 's', dry_run: true } })
    t.match(dry, { status: 200, json: { added_count: USERS } })
    t.notMatch(dry.raw, /\$argon2|\$2[aby]\$|secretData|"salt"/, 'a dry run shows no hash')
    t.equal(system.users.size, 1, 'a dry run sends nothing')

    t.match(await sync('s'), { status: 'succeeded', added_count: USERS, failure: null })
    await isInStep(t, 'created')
    t.match(await sync('s'), { kind: 'unchanged', status: 'succeeded' })

    await sql`update users set email = 'new' || email, username = 'new' || username, role = 'vip'
      where id in (select id from users where pool_id = ${poolId} order by id limit 7)`
    await sql`delete from users where id in (select id from users where pool_id = ${poolId} order by id desc limit 5)`
    await make(6)
    const counts = { added_count: 6, updated_count: 7, deleted_count: 5 }
    t.match(await sync('s'), { status: 'succeeded', kind: 'delta', ...counts })
    await isInStep(t, 'changed, deleted and created')

    system.disturb = (n, { method }) => {
      if (n % 13 === 3) return { status: 500 }
      if (n % 17 === 5 && method === 'GET') return { status: 429, headers: { 'retry-after': '0' } }
      return n % 11 === 4 ? 'lose' : undefined
    }
    await make(sized(9, 50))
    await sql`update users set role = 'admin' where id in (select id from users where pool_id = ${poolId} order by id limit 8)`
    await sql`delete from users where id in (select id from users where pool_id = ${poolId} and role = 'user' order by id limit 6)`
    for (let n = 0; n < 30 && (await sync('s')).failure !== null; n++);
    system.disturb = () => undefined
    t.match(await sync('s', { full: true }), { status: 'succeeded', failure: null })
    await isInStep(t, 'after errors, lost answers and 429')

    const name = hasUsernames ? 'own' : 'own@example.com'
    await make(1, { username_pattern: name })
    await make(2, { username_pattern: 'x{id}@example.com', password_hash: otherHash })
    await make(1, { username_pattern: 'y{id}@example.com', password_hash: { algorithm: 'none' } })
    t.match(await sync('s'), { status: 'failed', failure: 'users_refused' })
    const refused = (await failures('s')).map(({ username, code }) => [username.replace(/\d+/, ''), code]).toSorted()
    t.strictSame(refused, [
      [name, 'exists_already'],
      ['x@example.com', 'hash_unsupported'],
      ['x@example.com', 'hash_unsupported'],
      ['y@example.com', 'credential_missing'],
    ])
    await sql`delete from users where pool_id = ${poolId} and username ~ '^(x|y|own)'`
    t.match(await sync('s'), { status: 'succeeded', failure: null })

    let proxied = 0
    const pages = kind === 'fusionauth' ? ['<h1>404</h1>'] : ['<h1>404</h1>', ''] // FusionAuth's own 404 is empty
    system.disturb = (_, { method }) => {
      const text = method === 'DELETE' ? pages[proxied++] : undefined
      return text === undefined ? undefined : { status: 404, text }
    }
    await sql`delete from users where id in (select id from users where pool_id = ${poolId} order by id limit 1)`
    t.match(await sync('s'), { status: 'succeeded', deleted_count: 1 })
    t.ok(proxied > pages.length)
    await isInStep(t, 'a user is not removed because a proxy answers 404')
    system.disturb = () => undefined

    const [one] = [...system.users.values()].filter(({ mark }) => mark !== undefined)
    t.ok(system.users.delete(one?.id ?? ''))
    t.match(await sync('s', { full: true }), { status: 'succeeded', failure: null })
    await isInStep(t, 'a user that somebody removed there is created again')
    if (givesIds) {
      const [deleted, renamed] = [...system.users.values()].filter(({ mark }) => mark !== undefined)
      for (const user of [deleted, renamed]) moveUser(system, user as FakeUser)
      await sql`delete from users where id = ${deleted?.mark ?? null}`
      await sql`update users set username = 'else' || username, email = 'else' || email where id = ${renamed?.mark ?? null}`
      t.match(await sync('s'), { status: 'succeeded', failure: null })
      await isInStep(t, 'users that have other ids there, as after an import, are found by ours')
    }
    t.match(await clear('s'), { status: 'succeeded', failure: null })
    t.strictSame([...system.users.values()], [OWN], 'clear leaves what was there')
    t.notMatch(log.join(''), String(target['key'] ?? 'no key'), 'no key in the log')
  })

  t.test(`${kind}: faults of the target as a whole`, async (t) => {
    const system = await start(t)
    const { create, sync, batch } = await makePool(`${kind}-faults`)
    await batch(1)
    const cases: [string, Record<string, unknown>, string][] = [
      ['unreachable', { url: 'http://127.0.0.1:1' }, 'unreachable'],
      ['elsewhere', { url: `${system.url}/elsewhere` }, ''],
    ]
    if (kind !== 'kratos') cases.push(['key', { key: 'wrong' }, 'unauthorized'])
    if (kind === 'kratos') cases.push(['schema', { mapping: { schema_id: 'other' } }, 'refused'])
    if (kind === 'auth0') cases.push(['connection', { mapping: { connection_id: 'con_other' } }, 'refused'])
    if (kind === 'keycloak')
      cases.push(['realm', { mapping: { ...realm, realm: 'other', client_realm: 'shop' } }, 'refused'])
    if (kind === 'fusionauth')
      cases.push(['application', { mapping: { application_id: '0190a1b2-0000-7000-8000-000000000000' } }, 'refused'])
    for (const [name, change, failure] of cases) {
      t.equal((await create({ kind, name, url: system.url, ...target, ...change })).status, 201, name)
      const started = performance.now()
      const run = await sync(name)
      t.match(run, { status: 'failed', failure: failure === '' ? String : failure, detail: String }, name)
      t.ok(performance.now() - started < 5_000)
    }
    t.equal(system.users.size, 0, 'nothing is written')
    t.match(await create({ kind, name: 'host', url: 'https://example.com', ...target }), {
      status: 400,
      json: { errors: [{ path: 'body.url' }] },
    })
  })
}

t.test('an Auth0 that does not list the errors of a job: nobody counts as created who is not', async (t) => {
  const system = await startAuth0(t)
  const { create, sync, failures, batch } = await makePool('unlisted')
  system.users.set(OWN.id, OWN)
  await batch(1, { username_pattern: OWN.email, password_hash: KINDS['auth0']?.hash })
  await batch(1, { username_pattern: 'u{id}@example.com', password_hash: { preset: 'auth0' } })
  await create({ kind: 'auth0', name: 's', url: system.url, ...KINDS['auth0']?.target })
  let isFirst = true
  system.disturb = (_, { path }) => {
    if (!isFirst || !path.endsWith('/errors')) return undefined
    isFirst = false
    return { status: 404 }
  }
  t.match(await sync('s'), { status: 'failed', failure: 'users_refused', added_count: 1 })
  t.match(await failures('s'), [{ username: OWN.email, code: 'exists_already' }])
})

t.test('a key that no header can have is rejected', async (t) => {
  const { create } = sinkRoutes(service)
  for (const kind of ['scim', 'kratos', 'fusionauth', 'auth0']) {
    const answer = await create({ kind, name: 's', url: 'http://127.0.0.1:1', key: 'schlüssel €' })
    t.match(answer, { status: 400, json: { errors: [{ path: 'body.key' }] } }, kind)
  }
})

t.test('a Keycloak that drops attributes is refused, with what to mend, and keeps no user', async (t) => {
  const system = await startKeycloak(t, { keepsAttributes: false })
  const { create, sync, batch } = await makePool('dropping')
  await batch(3, { password_hash: ARGON2ID })
  await create({ kind: 'keycloak', name: 's', url: system.url, ...KINDS['keycloak']?.target })
  t.match(await sync('s'), { status: 'failed', failure: 'refused', detail: /unmanaged attributes/ })
  t.equal(system.users.size, 0)
  for (const [status, why] of Object.entries({
    400: /status 400\.$/,
    403: /lacks a permission\.$/,
    503: /status 503\.$/,
  })) {
    system.disturb = (_, { method }) => (method === 'DELETE' ? { status: Number(status) } : undefined)
    const { failure, detail } = await sync('s')
    const [left] = system.users.keys()
    t.match([failure, detail], ['refused', why], status)
    t.match(detail, `/users/${left} was created and could not be removed`, status)
    system.users.clear()
  }
})
