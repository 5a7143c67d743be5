import { logIn } from '../../src/sync/canary/logins.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { ADMIN, djangoVersion, startDjangoSite } from './django-site.ts'
import { sinkRoutes, sinkService, startSystem } from './sink.ts'

const t = suite()

/* A real Django: its own migrations, its own login view. Users get in, log in, change, and get out. */

t.setTimeout(300_000)

const USERS = sized(200, 5_000)
const CHANGED = sized(30, 300)
const DELETED = sized(50, 2_000)
const ADDED = sized(20, 500)
const LOGINS = sized(1, 20)
const PASSWORD = 'TestPass123!'

const skip = djangoVersion ? false : 'Django is not here (Debian: apt-get install python3-django python3-psycopg2)'

t.test('users log in to Django after a run, and clear leaves what was there', { skip }, async (t) => {
  const service = await sinkService(t)
  const { call, sql } = service
  const system = await startSystem(t, '')
  const site = await startDjangoSite(t, system.url)
  const { create, sync, clear, batch } = sinkRoutes(service)
  const rows = () => system.sql`select to_jsonb(u) - 'last_login' as row from auth_user u order by id`
  const before = [...(await rows())]
  t.equal(before.length, 1, 'the superuser')

  const loginUrl = `${site}/accounts/login/`
  const login = (username: string, password = PASSWORD) =>
    logIn({ kind: 'form', url: loginUrl }, { username, email: '', password }, AbortSignal.timeout(60_000))
  const sample = () => sql<{ username: string }[]>`select username from users order by random() limit ${LOGINS}`

  async function equalsExport(what: string): Promise<void> {
    const wanted = await sql`
      select u.username, u.email, c.password_hash as password, u.created_at as date_joined
      from users u join credentials c on c.pool_id = u.pool_id and c.id = u.credential_id order by u.username`
    const found = await system.sql`
      select username, email, password, date_joined from auth_user where not is_superuser order by username`
    t.strictSame([...found], [...wanted], what)
  }

  const preset = { preset: `django-${djangoVersion}` }
  const canary = { kind: 'form', url: loginUrl, users: 1 }
  await create({ name: 'shop', url: system.url, preset: 'django', canary })
  await batch(USERS, { password: PASSWORD, password_hash: preset })
  const ok = { ok: true, users: 1, rehash_suspected: false, failures: [] }
  t.match(await sync('shop'), { status: 'succeeded', added_count: USERS, canary: ok })
  await equalsExport('created')
  for (const { username } of await sample()) t.match(await login(username), { fault: undefined }, username)
  const [one] = await sample()
  t.match(await login(one?.username ?? '', 'wrong'), { fault: /form again/ })
  t.match(await login(ADMIN.username, ADMIN.password), { fault: undefined }, 'the superuser still logs in')
  await equalsExport('no login has changed a hash')

  await sql`
    update users set email = 'new' || email, username = 'new' || username
    where id in (select id from users order by random() limit ${CHANGED})`
  await sql`delete from users where id in (select id from users where username like 'u%' order by random() limit ${DELETED})`
  await batch(ADDED, { password: PASSWORD, password_hash: preset })
  const counts = { added_count: ADDED, updated_count: CHANGED, deleted_count: DELETED }
  t.match(await sync('shop'), { status: 'succeeded', kind: 'delta', ...counts, canary: ok })
  await equalsExport('changed, deleted and added')
  for (const { username } of await sample()) t.match(await login(username), { fault: undefined }, username)

  await batch(5, { password: PASSWORD, password_hash: { algorithm: 'pbkdf2_sha256', iterations: 300_000 } })
  t.match(
    await sync('shop'),
    { status: 'succeeded', canary: { ok: true, rehash_suspected: true } },
    'Django hashes a password of another cost again, and the run says so',
  )
  t.match(await clear('shop'), { status: 'succeeded', failure: null })
  t.strictSame([...(await rows())], before, 'clear leaves exactly what was there')
  t.match(await login(ADMIN.username, ADMIN.password), { fault: undefined })
  t.equal((await call('DELETE', '/v1/targets/shop')).status, 204)
})
