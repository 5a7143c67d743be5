import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { startSite } from './better-auth-site.ts'
import { sinkRoutes, sinkService, startSystem } from './sink.ts'

const t = suite()

/* A real better-auth: its own migration, its own sign-in. */

t.setTimeout(120_000)

const USERS = sized(50, 1_000)
const LOGINS = sized(1, 20)
const PASSWORD = 'TestPass123!'

t.test('users sign in to better-auth after a run, and clear leaves what was there', async (t) => {
  const service = await sinkService(t)
  const { sql } = service
  const system = await startSystem(t, '')
  const { url, post, signIn } = await startSite(t, system.url)
  const { create, sync, clear, batch } = sinkRoutes(service)
  const own = { email: 'own@example.org', password: 'the-owners-own-1', name: 'own' }
  t.equal((await post('/sign-up/email', own)).status, 200)
  const rows = () => system.sql`
    select to_jsonb(u) as "user", to_jsonb(a) as account from "user" u join account a on a."userId" = u.id order by u.id`
  const before = [...(await rows())]
  t.equal(before.length, 1)

  const canary = {
    kind: 'json',
    url: `${url}/sign-in/email`,
    body: { email: '{email}', password: '{password}' },
    users: 1,
  }
  t.match(await create({ name: 'site', url: system.url, preset: 'better-auth', canary }), { status: 201 })
  await batch(USERS, { password: PASSWORD, password_hash: { preset: 'better-auth' } })
  const ok = { ok: true, users: 1, rehash_suspected: false }
  t.match(await sync('site'), { status: 'succeeded', added_count: USERS, canary: ok })
  await sql`update users set email = 'new' || email where id in (select id from users order by id limit 10)`
  await sql`delete from users where id in (select id from users order by id desc limit 5)`
  t.match(await sync('site'), { status: 'succeeded', updated_count: 10, deleted_count: 5, canary: ok })

  const sample = await sql<{ email: string }[]>`select email from users order by random() limit ${LOGINS}`
  for (const { email } of sample) t.equal(await signIn(email, PASSWORD), 200, email)
  t.equal(await signIn(sample[0]?.email ?? '', 'wrong-password'), 401)
  const wanted = await sql`select id::text, email from users order by id`
  const found = await system.sql`select id, email from "user" where email <> ${own.email} order by id`
  t.strictSame([...found], [...wanted])

  t.match(await clear('site'), { status: 'succeeded', failure: null })
  t.strictSame([...(await rows())], before, 'clear leaves exactly what was there')
  t.equal(await signIn(own.email, own.password), 200)
})
