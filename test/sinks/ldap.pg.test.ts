import type { Entry } from 'ldapts'
import type { Test } from 'tap'
import { splitName } from '../../src/systems/distinguished-names.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { sinkRoutes, sinkService } from './sink.ts'
import { HASHES, LOGIN, NO_SLAPD, PEOPLE, startSlapd } from './slapd.ts'

const t = suite()

/* Users as entries of a real directory, from their creation to their removal. */

const USERS = sized(300, 4_000)
const LOGINS = 20
const PASSWORD = 'pässwörd ☃'
const CONFIG = { ...HASHES, password: PASSWORD }

t.test('a directory', { skip: NO_SLAPD }, async (t) => {
  t.setTimeout(sized(60_000, 600_000))
  const service = await sinkService(t)
  const { call, sql } = service
  const slapd = await startSlapd(t)
  const { create, sync, clear, failures, status, batch } = sinkRoutes(service)
  const before = await slapd.entries()

  const isOurs = ({ employeeNumber }: Entry) => String(employeeNumber).length === 36
  const ours = async () => (await slapd.entries()).filter(isOurs)

  /** What the entries of our users must be. */
  async function wanted(): Promise<Entry[]> {
    const rows = await sql<{ id: string; username: string; email: string; role: string; hash: string }[]>`
      select u.id, u.username, u.email, u.role, c.password_hash as hash
      from users u join credentials c on c.pool_id = u.pool_id and c.id = u.credential_id
      where u.username not like 'own%'`
    return rows.map(({ id, username, email, role, hash }) => ({
      dn: username,
      objectClass: ['top', 'person', 'organizationalPerson', 'inetOrgPerson'],
      uid: username,
      cn: username,
      sn: username,
      mail: email,
      employeeNumber: id,
      employeeType: role,
      userPassword: `{ARGON2}${hash}`,
    }))
  }

  const byId = (entries: Entry[]) =>
    entries.toSorted((a, b) => (String(a['employeeNumber']) < String(b['employeeNumber']) ? -1 : 1))

  async function inStep(t: Test, what: string, users: number): Promise<void> {
    const entries = (await ours()).map((entry) => ({ ...entry, dn: splitName(entry.dn)?.value }))
    t.equal(entries.length, users, `${what}: ${users} users`)
    t.strictSame(byId(entries as Entry[]), byId(await wanted()), what)
    t.strictSame(
      (await slapd.entries()).filter((entry) => !isOurs(entry)),
      before,
      `${what}: other entries are untouched`,
    )
  }

  await t.test('users are created and log in, and a repeated run does nothing', async (t) => {
    t.match(await create({ ...LOGIN, name: 'dir', url: slapd.url }), {
      status: 201,
      json: { kind: 'ldap', has_key: true, limits: { batch: 100 }, mapping: { rdn: 'uid', base: PEOPLE } },
    })
    await batch(USERS, CONFIG)
    await call('PATCH', '/v1/targets/dir', { body: { canary: { kind: 'ldap_bind', users: 2 } } })
    t.match(await sync('dir'), {
      ...{ status: 'succeeded', kind: 'full', added_count: USERS, failure: null },
      canary: { ok: true, users: 2 }, // whether a login hashes again is measured, which a busy machine disturbs
    })
    await inStep(t, 'created', USERS)
    const entries = (await ours()).toSorted(() => Math.random() - 0.5).slice(0, LOGINS)
    for (const { dn } of entries) {
      t.ok(await slapd.bind(dn, PASSWORD), `${dn} logs in`)
      t.notOk(await slapd.bind(dn, `${PASSWORD}x`), `${dn} does not with another password`)
    }
    t.match(await status('dir'), { in_step: true })
    t.match(await sync('dir'), { status: 'succeeded', kind: 'unchanged', added_count: 0, updated_count: 0 })
  })

  await t.test('changed users are changed, and deleted ones removed', async (t) => {
    await sql`update users set email = 'new' || email where username < 'u14'`
    await sql`update users set username = 'renamed ' || username where username >= 'u20' and username < 'u22'`
    const { count: deleted } = await sql`delete from users where username >= 'u22' and username < 'u25'`
    const { count: changed } = await sql`select from users where email like 'new%' or username like 'renamed%'`
    const run = await sync('dir')
    t.match(run, { status: 'succeeded', kind: 'delta', added_count: 0, updated_count: changed, deleted_count: deleted })
    await inStep(t, 'changed', USERS - deleted)
  })

  await t.test('names that need escaping, and texts in every script', async (t) => {
    const names = [
      ' a,b+c ',
      '#x',
      'a\\',
      'a\\,b="<;>"',
      'ünï ☃ 😀',
      '*)(uid=*',
      '名前',
      "o'brien",
      'a\nb',
      '\\2C',
      'x  y',
    ]
    const rows = await sql`select id from users where username not like 'own%' order by id limit ${names.length}`
    for (const [index, name] of names.entries())
      await sql`update users set username = ${name} where id = ${rows[index]?.['id']}`
    const { count } = await sql`select from users`
    t.match(await sync('dir'), { status: 'succeeded', updated_count: names.length })
    await inStep(t, 'odd names', count)
    for (const [index] of names.entries())
      await sql`update users set username = ${`even${index}`} where id = ${rows[index]?.['id']}`
    t.match(await sync('dir'), { status: 'succeeded', updated_count: names.length })
    await inStep(t, 'even names', count)
  })

  await t.test('an entry of the directory’s own with the same name is never touched', async (t) => {
    const count = (await ours()).length
    const id = await batch(2, { ...CONFIG, username_pattern: 'own{n}@example.com' })
    t.match(await sync('dir'), { status: 'failed', failure: 'users_refused', added_count: 0 })
    t.match(await failures('dir'), [
      { code: 'exists_already', username: 'own1@example.com', operation: 'create' },
      { code: 'exists_already', username: 'own2@example.com', operation: 'create' },
    ])
    await inStep(t, 'refused', count)
    await call('DELETE', `/v1/batches/${id}`)
    t.match(await sync('dir'), { status: 'succeeded', failure: null })
    await inStep(t, 'deleted here', count)
  })

  await t.test('an entry that somebody renamed, moved or removed is found by its id, or made again', async (t) => {
    const [renamed, moved, removed, taken] = (await ours()).map(({ dn }) => dn)
    await slapd.asAdmin(async (client) => {
      await client.add(`ou=leavers,${PEOPLE}`, { objectClass: 'organizationalUnit', ou: 'leavers' })
      await client.modifyDN(renamed ?? '', 'uid=somebody else')
      await client.modifyDN(moved ?? '', `uid=moved,ou=leavers,${PEOPLE}`)
      await client.del(removed ?? '')
      await client.del(taken ?? '')
      await client.add(taken ?? '', {
        objectClass: 'inetOrgPerson',
        uid: splitName(taken ?? '')?.value ?? '',
        cn: 'x',
        sn: 'x',
      })
    })
    const count = (await ours()).length
    await sql`update users set email = 'again' || email`
    t.match(await sync('dir'), { status: 'failed', failure: 'users_refused', detail: /1 user:/ })
    t.match(await failures('dir'), [{ code: 'exists_already', username: splitName(taken ?? '')?.value }])
    const entries = await ours()
    t.equal(entries.length, count + 1, 'the removed one is made again')
    t.equal(entries.filter(({ mail }) => String(mail).startsWith('again')).length, count + 1)
    t.equal(
      entries.filter(({ dn }) => dn.includes('ou=leavers')).length,
      1,
      'the moved one stays where it was moved to',
    )
    t.match(
      (await slapd.entries()).find(({ dn }) => dn === taken),
      { cn: 'x' },
    )
    await slapd.asAdmin((client) => client.modifyDN(entries[0]?.dn ?? '', 'uid=renamed before the end'))
    t.match(await clear('dir'), { status: 'succeeded' })
    await slapd.asAdmin(async (client) => {
      await client.del(taken ?? '')
      await client.del(`ou=leavers,${PEOPLE}`)
    })
    t.strictSame(await slapd.entries(), before, 'clear leaves exactly what was there before')
  })

  await t.test('attributes have several values, or none', async (t) => {
    const custom_attributes = { titles: ['a', 'b'], street: 'c' }
    const batch_id = await batch(2, { ...CONFIG, username_pattern: 'own{n}@example.com', custom_attributes })
    const attributes = {
      objectClass: 'inetOrgPerson',
      uid: 'own {username}',
      cn: '{username}',
      sn: '{username}',
      employeeNumber: '{id}',
      mail: ['{email}', 'second-{email}'],
      title: '{custom_attributes.titles}',
      street: '{custom_attributes.street}',
      l: '{custom_attributes.nothing}',
    }
    const mapping = { ...LOGIN.mapping, rdn: 'uid', attributes }
    const { preset: _, ...login } = LOGIN
    await create({ ...login, name: 'own', url: slapd.url, mapping, filter: { batch_id } })
    t.match(await sync('own'), { status: 'succeeded', added_count: 2 })
    const mail = ['own1@example.com', 'second-own1@example.com']
    const [first] = await ours()
    t.match(first, { mail, title: ['a', 'b'], street: 'c', l: undefined })
    await sql`update users set custom_attributes = '{"titles": "b", "nothing": "d"}' where batch_id = ${batch_id}`
    t.match(await sync('own'), { status: 'succeeded', updated_count: 2 })
    t.match((await ours())[0], { dn: first?.dn, mail, title: 'b', street: undefined, l: 'd' })
    t.match(await clear('own'), { status: 'succeeded', deleted_count: 2 })
    await call('DELETE', '/v1/targets/own')
    await call('DELETE', `/v1/batches/${batch_id}`)
  })

  await t.test('a target that was deleted by force and created again has its users', async (t) => {
    const { length: users } = await wanted()
    t.match(await sync('dir'), { status: 'succeeded', added_count: users })
    t.equal((await call('DELETE', '/v1/targets/dir?force=true')).status, 204)
    await sql`update users set email = 'taken' || email`
    await create({ ...LOGIN, name: 'dir', url: slapd.url })
    t.match(await sync('dir'), { status: 'succeeded', failure: null, added_count: users })
    await inStep(t, 'taken over', users)
  })

  await t.test('clear leaves an entry that has entries below it', async (t) => {
    t.match(await sync('dir'), { status: 'succeeded' })
    const [parent] = await ours()
    const child = `cn=phone,${parent?.dn}`
    await slapd.asAdmin((client) => client.add(child, { objectClass: 'device', cn: 'phone' }))
    t.match(await clear('dir'), { status: 'failed', failure: 'users_refused' })
    t.match(await failures('dir'), [{ code: 'still_referenced' }])
    await slapd.asAdmin((client) => client.del(child))
    t.match(await clear('dir'), { status: 'succeeded', deleted_count: 1 })
    t.strictSame(await slapd.entries(), before)
    t.equal((await call('DELETE', '/v1/targets/dir')).status, 204)
  })
})
