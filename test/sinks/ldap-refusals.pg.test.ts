import { Attribute, Change } from 'ldapts'
import type { Test } from 'tap'
import { suite } from '../suite.ts'
import { sinkRoutes, sinkService } from './sink.ts'
import { HASHES, LOGIN, NO_SLAPD, PEOPLE, type Slapd, startSlapd, WRITER } from './slapd.ts'

const t = suite()

/* Directories that refuse single users, limit searches, or lack the assertion control: the other users arrive, and none twice. */

const service = await sinkService(t)
const { sql, log } = service
const { create, sync, failures, batch, clear, status } = sinkRoutes(service)
const USERS = 60
await batch(USERS, HASHES)
t.afterEach(() => sql`update users set email = username`)

const asWriter = { mapping: { ...LOGIN.mapping, bind_dn: WRITER } }
const WRITES = `access to * by dn.exact="${WRITER}" write by * auth`

const usersIn = async (slapd: Slapd) => (await slapd.entries()).filter(({ employeeType }) => employeeType === 'user')

/** The state after a run that made nothing doubtful: every user is there once, identified by its id. */
async function complete(t: Test, slapd: Slapd, target: string): Promise<void> {
  const users = await usersIn(slapd)
  t.equal(users.length, USERS)
  const rows = await sql<{ id: string; email: string }[]>`select id, email from users order by id`
  const found = users.map(({ employeeNumber, mail }) => ({ id: employeeNumber, email: mail }))
  t.strictSame(
    found.toSorted((a, b) => (String(a.id) < String(b.id) ? -1 : 1)),
    [...rows],
  )
  t.match(await status(target), { in_step: true })
}

t.test('one refused user in many: the others arrive', { skip: NO_SLAPD }, async (t) => {
  const slapd = await startSlapd(t, {
    global: 'moduleload constraint.so',
    database: 'overlay constraint\nconstraint_attribute mail regex ^[^!]*$',
  })
  await create({ ...LOGIN, name: 'one', url: slapd.url })
  await sql`update users set email = 'not!allowed@example.com' where username = 'u7@example.com'`
  await sql`update users set email = 'ünï@example.com' where username = 'u8@example.com'`
  t.match(await sync('one'), { status: 'failed', failure: 'users_refused', added_count: USERS - 2 })
  t.match(await failures('one'), [
    {
      code: 'refused',
      username: 'u7@example.com',
      detail: 'A value violates a constraint of the directory (LDAP result 19).',
    },
    {
      code: 'refused',
      username: 'u8@example.com',
      detail: /form of its attribute \(LDAP result 21\): attribute mail\.$/,
    },
  ])
  await sql`update users set email = username`
  t.match(await sync('one'), { status: 'succeeded', added_count: 2 })
  await complete(t, slapd, 'one')
  await sql`update users set email = 'not!allowed@example.com' where username = 'u7@example.com'`
  await sql`update users set username = 'renamed' where username = 'u7@example.com'`
  t.match(await sync('one'), { status: 'failed', failure: 'users_refused', updated_count: 0 })
  await sql`update users set email = 'u7@example.com', username = 'u7@example.com' where username = 'renamed'`
  t.match(await sync('one'), { status: 'succeeded', updated_count: 1 }, 'the entry is known by its new name')
  await complete(t, slapd, 'one')
  t.match(await clear('one'), { status: 'succeeded', deleted_count: USERS })
  t.notOk(
    log.some((line) => /constraint_attribute|invalid per syntax/.test(line)),
    'no text of the server is in the log',
  )
})

t.test(
  'a directory that fails for one user: the others are changed, and this one later',
  { skip: NO_SLAPD },
  async (t) => {
    const slapd = await startSlapd(t, { global: 'moduleload retcode.so' })
    await create({ ...LOGIN, name: 'fails', url: slapd.url })
    await sync('fails')
    await slapd.restart('overlay retcode\nretcode-parent "cn=none,dc=example,dc=com"\nretcode-indir')
    await slapd.asAdmin(async (client) => {
      const values = (type: string, value: string) => new Attribute({ type, values: [value] })
      const failing = [values('objectClass', 'errAuxObject'), values('errCode', '80')]
      const changes = failing.map((modification) => new Change({ operation: 'add', modification }))
      await client.modify(`uid=u5@example.com,${PEOPLE}`, changes)
    })
    await sql`update users set email = 'fails' || email`
    t.match(await sync('fails'), { status: 'failed', failure: 'users_refused', updated_count: USERS - 1 })
    const detail = 'The directory failed (LDAP result 80). 4 attempts failed.'
    t.match(await failures('fails'), [{ code: 'unavailable', username: 'u5@example.com', operation: 'update', detail }])
    await slapd.restart('')
    t.match(await sync('fails'), { status: 'succeeded', updated_count: 1 })
    await complete(t, slapd, 'fails')
  },
)

t.test('a directory that allows no change of one entry: the others are changed', { skip: NO_SLAPD }, async (t) => {
  const slapd = await startSlapd(t, { database: WRITES })
  await create({ ...LOGIN, ...asWriter, name: 'rights', url: slapd.url })
  await sync('rights')
  await slapd.restart(`access to dn.exact="uid=u5@example.com,${PEOPLE}" by * read\n${WRITES}`)
  await sql`update users set email = 'rights' || email`
  t.match(await sync('rights'), { status: 'failed', failure: 'users_refused', updated_count: USERS - 1 })
  t.match(await failures('rights'), [{ code: 'refused', username: 'u5@example.com', detail: /lacks the right .*50/ }])
  t.match(await clear('rights'), { status: 'failed', failure: 'users_refused', deleted_count: USERS - 1 })
  await slapd.restart(WRITES)
  t.match(await clear('rights'), { status: 'succeeded', deleted_count: 1 })
})

t.test('users without a hash, or with one that OpenLDAP does not verify', { skip: NO_SLAPD }, async (t) => {
  const slapd = await startSlapd(t)
  await create({ ...LOGIN, name: 'hashes', url: slapd.url })
  for (const [index, password_hash] of [
    { algorithm: 'none' },
    { preset: 'better-auth' },
    { algorithm: 'pbkdf2_sha256', iterations: 1 },
  ].entries())
    await batch(1, { username_pattern: `x${index}`, email_domain: 'example.com', password_hash })
  t.match(await sync('hashes'), { status: 'failed', failure: 'users_refused', added_count: USERS })
  const preset = /"preset": "openldap"/
  t.match(await failures('hashes'), [
    { username: 'x0', code: 'credential_missing' },
    { username: 'x1', code: 'hash_unsupported', detail: preset },
    { username: 'x2', code: 'hash_unsupported', detail: preset },
  ])
  await sql`delete from users where username like 'x%'`
  t.match(await sync('hashes'), { status: 'succeeded' })
  await complete(t, slapd, 'hashes')
})

t.test('a directory that returns few entries: lost users are searched in parts', { skip: NO_SLAPD }, async (t) => {
  const slapd = await startSlapd(t, { database: `sizelimit 7\n${WRITES}` })
  await create({ ...LOGIN, ...asWriter, name: 'few', url: slapd.url })
  t.match(await sync('few'), { status: 'succeeded', added_count: USERS })
  await sql`update sink_users set external = '?', is_due = true where target = 'few'`
  await sql`update users set email = 'again' || email where username like 'u1%'`
  t.match(await sync('few'), { status: 'succeeded', failure: null })
  await complete(t, slapd, 'few')
})

t.test('a directory without the assertion control: the id is compared first', { skip: NO_SLAPD }, async (t) => {
  const hidden = 'access to dn.base="" by * none'
  const slapd = await startSlapd(t, { global: hidden, database: WRITES })
  await create({ ...LOGIN, ...asWriter, name: 'compares', url: slapd.url })
  t.match(await sync('compares'), { status: 'succeeded', added_count: USERS })
  const [replaced, unmarked, removed] = await usersIn(slapd)
  await slapd.asAdmin(async (client) => {
    await client.del(removed?.dn ?? '')
    for (const entry of [replaced, unmarked]) {
      const { dn = '', uid = '' } = entry as { dn: string; uid?: string }
      await client.del(dn)
      const employeeNumber = entry === replaced ? { employeeNumber: 'theirs' } : {}
      await client.add(dn, { objectClass: 'inetOrgPerson', uid, cn: 'theirs', sn: 'x', ...employeeNumber })
    }
  })
  await sql`update users set email = 'changed' || email`
  t.match(await sync('compares'), { status: 'failed', failure: 'users_refused', updated_count: USERS - 2 })
  t.match(await failures('compares'), [{ code: 'exists_already' }, { code: 'exists_already' }])
  t.match(await clear('compares'), { status: 'succeeded', deleted_count: USERS - 2 })
  t.strictSame(
    (await slapd.entries()).filter(({ cn }) => cn === 'theirs').map(({ dn }) => dn),
    [replaced?.dn, unmarked?.dn].toSorted(),
  )
})

t.test('a read-only directory', { skip: NO_SLAPD }, async (t) => {
  const slapd = await startSlapd(t)
  await create({ ...LOGIN, name: 'readonly', url: slapd.url })
  await slapd.restart('readonly on')
  t.match(await sync('readonly'), { status: 'failed', failure: 'refused', detail: /read-only.*53/, attempts: 1 })
  await slapd.restart('')
  t.match(await sync('readonly'), { status: 'succeeded', added_count: USERS })
})
