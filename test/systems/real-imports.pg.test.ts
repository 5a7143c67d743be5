import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Batch } from '../../src/batches/batches.ts'
import { debianProgram } from '../faults/debian-program.ts'
import { freePort } from '../faults/free-port.ts'
import { startService } from '../http/service.ts'
import { bind } from '../passwords/ldap-bind.ts'
import { startSite } from '../sinks/better-auth-site.ts'
import { startSystem } from '../sinks/sink.ts'
import { suite } from '../suite.ts'

const t = suite()

/*
 * The systems themselves import files as the service sends them: better-auth from npm, and the others where Debian's packages are
 * installed.
 */

const { call, sql } = await startService(t)
const PASSWORD = 'pässwörd ☃ 😀'

/** Names that CSV, JSON, LDIF or a distinguished name could break. */
const NAMES = ['a,b+c"d\\e', '#hash', ':colon', '<less>', 'a  b;c=d', 'tab\there', 'line\nend', 'Ünïcødé 😀', "o'brien"]

/** Creates users with each of the hashes and every name. Returns the batch's file. */
async function fileOf(format: string, hashes: object[]): Promise<Buffer> {
  const names = { first: { $name: 'first', locale: 'ja' }, last: { $name: 'last', locale: 'ar' } }
  for (const password_hash of hashes) {
    const config = { password: PASSWORD, password_hash, custom_attributes: names }
    const { status, json } = await call<Batch>('POST', '/v1/batches', {
      body: { pool: format, count: 20, config },
      headers: { prefer: 'wait=60' },
    })
    if (status !== 201) throw new Error(JSON.stringify(json))
    await sql`
      update users u set username = n.name || ' ' || ${Object.values(password_hash)[0] as string}
      from (select id, row_number() over (order by id) as place from users where batch_id = ${json.id}) p
      join unnest(${NAMES}::text[]) with ordinality n (name, place) on n.place = p.place
      where u.id = p.id and u.batch_id = ${json.id}`
  }
  const { status, raw } = await call('GET', `/v1/users/export?pool=${format}&format=${format}`)
  if (status !== 200) throw new Error(raw.toString())
  return raw
}

/** The users of a pool as the systems must have them. */
const usersOf = async (pool: string) =>
  (
    await sql<{ username: string; email: string; first: string; last: string }[]>`
      select u.username, u.email, u.custom_attributes->>'first' as first, u.custom_attributes->>'last' as last
      from users u join pools p on p.id = u.pool_id where p.name = ${pool} order by u.username collate "C"`
  ).map((user) => ({ ...user }))

/** Runs a program to its end, and throws unless it succeeds. */
function run(program: string, args: string[], input?: string): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', input })
  if (status !== 0) throw new Error(`${program} exits with ${status}: ${stderr.slice(-2_000)}`)
  return stdout
}

const python = debianProgram('python3') ?? 'python3'
const hasModule = (name: string) => spawnSync(python, ['-c', `import ${name}`]).status === 0

const DJANGO = `
import json, sys
import django
from django.conf import settings
from django.core.management import call_command
folder = sys.argv[1]
settings.configure(
  DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': folder + '/db.sqlite3'}},
  INSTALLED_APPS=['django.contrib.auth', 'django.contrib.contenttypes'], USE_TZ=True, DEFAULT_AUTO_FIELD='django.db.models.AutoField',
  PASSWORD_HASHERS=['django.contrib.auth.hashers.' + name + 'PasswordHasher' for name in ('PBKDF2', 'Argon2', 'BCrypt')])
django.setup()
from django.contrib.auth import authenticate, hashers
from django.contrib.auth.models import User
call_command('migrate', verbosity=0)
User.objects.create_superuser('own', 'own@example.com', 'own')
for _ in range(2):
  call_command('loaddata', folder + '/users.jsonl', verbosity=0)
users = User.objects.exclude(username='own')
print(json.dumps({
  'own': User.objects.filter(username='own', is_superuser=True).count(),
  'active': users.filter(is_active=True, is_staff=False, is_superuser=False, last_login=None).count(),
  'joined': sorted(user.date_joined.isoformat() for user in users),
  'users': [dict(username=user.username, email=user.email, first=user.first_name, last=user.last_name) for user in users],
  # Without a login's own steps, which hash again with Django's costs.
  'logins': sum(hashers.check_password(sys.argv[2], user.password) for user in users),
  'login': authenticate(username=users[0].username, password=sys.argv[2]) == users[0],
  'wrong': authenticate(username=users[0].username, password=sys.argv[2] + 'x'),
}))`

const noDjango = hasModule('django') ? false : 'Django is not here (Debian: apt-get install python3-django)'
t.test('Django: loaddata, twice, and authenticate', { skip: noDjango }, async (t) => {
  const folder = t.testdir({})
  const hashes = [
    { algorithm: 'pbkdf2_sha256', iterations: 1_000 },
    ...(hasModule('argon2') ? [{ algorithm: 'argon2id', memory_kib: 64 }] : []),
    ...(hasModule('bcrypt') ? [{ algorithm: 'bcrypt', cost: 4 }] : []),
  ]
  await sql`insert into pools (name) values ('django')`
  await writeFile(join(folder, 'users.jsonl'), await fileOf('django', hashes))
  const found = JSON.parse(run(python, ['-c', DJANGO, folder, PASSWORD]))
  const count = 20 * hashes.length
  t.match(found, { own: 1, active: count, logins: count, login: true, wrong: null })
  const byName = (users: { username: string }[]) => users.toSorted((a, b) => (a.username < b.username ? -1 : 1))
  t.strictSame(byName(found.users), byName(await usersOf('django')))
  const joined = await sql`
    select to_char(u.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"') as at
    from users u join pools p on p.id = u.pool_id where p.name = 'django' order by 1`
  t.strictSame(
    found.joined,
    joined.map(({ at }) => at),
  )
})

t.test('better-auth: its own tables, and sign-in', async (t) => {
  const system = await startSystem(t, '')
  const { signIn } = await startSite(t, system.url)
  await sql`insert into pools (name) values ('better-auth')`
  const session = await system.sql.reserve() // the file has a transaction
  await session.unsafe((await fileOf('better-auth', [{ algorithm: 'better_auth' }])).toString())
  session.release()
  const found = await system.sql`select id, name, email from "user" order by id`
  const wanted = await sql`
    select u.id::text, concat_ws(' ', u.custom_attributes->>'first', u.custom_attributes->>'last') as name, u.email
    from users u join pools p on p.id = u.pool_id where p.name = 'better-auth' order by u.id`
  t.strictSame([...found], [...wanted])
  for (const { email } of found.slice(0, 2)) t.equal(await signIn(email, PASSWORD), 200)
  t.equal(await signIn(found[0]?.['email'], `${PASSWORD}x`), 401)
})

const slapd = debianProgram('slapd')
const slapadd = debianProgram('slapadd')
const folderOf = (...paths: string[]) => paths.map((path) => join(dirname(slapd ?? ''), path)).find(existsSync) ?? ''

const noSlapd = slapd && slapadd ? false : 'slapd is not here (Debian: apt-get install slapd)'
t.test('OpenLDAP: slapadd, slapcat and bind', { skip: noSlapd }, async (t) => {
  const folder = t.testdir({ db: {} })
  const [modules, schema] = [folderOf('../lib/ldap'), folderOf('../../etc/ldap/schema', '../etc/ldap/schema')]
  const hasPbkdf2 = existsSync(join(modules, 'pw-pbkdf2.so'))
  const conf = join(folder, 'slapd.conf')
  await writeFile(
    conf,
    [
      ...['core', 'cosine', 'inetorgperson'].map((name) => `include ${schema}/${name}.schema`),
      `modulepath ${modules}`,
      ...['back_mdb', 'argon2', ...(hasPbkdf2 ? ['pw-pbkdf2'] : [])].map((name) => `moduleload ${name}.so`),
      ...['database mdb', 'suffix "dc=example,dc=com"', `directory ${folder}/db`, 'maxsize 67108864', ''],
    ].join('\n'),
  )
  await writeFile(
    join(folder, 'base.ldif'),
    'dn: dc=example,dc=com\nobjectClass: domain\ndc: example\n\ndn: ou=people,dc=example,dc=com\nobjectClass: organizationalUnit\nou: people\n',
  )
  const hashes = [
    { algorithm: 'argon2id', memory_kib: 64 },
    { algorithm: 'bcrypt', cost: 4 },
    { algorithm: 'scrypt', n: 1_024, r: 8, p: 2 },
    ...(hasPbkdf2 ? [{ algorithm: 'pbkdf2_sha256', iterations: 1_000, salt_bytes: 16 }] : []),
  ]
  await sql`insert into pools (name) values ('ldif')`
  await writeFile(join(folder, 'users.ldif'), await fileOf('ldif', hashes))
  for (const name of ['base', 'users']) run(slapadd ?? '', ['-q', '-f', conf, '-l', join(folder, `${name}.ldif`)])

  const entries = readLdif(run(slapadd?.replace(/slapadd$/, 'slapcat') ?? '', ['-f', conf])).filter(({ uid }) => uid)
  const found = entries.map(({ uid, mail, givenName, sn }) => ({
    username: uid,
    email: mail,
    first: givenName,
    last: sn,
  }))
  const byName = (users: { username?: string | undefined }[]) =>
    users.toSorted((a, b) => ((a.username ?? '') < (b.username ?? '') ? -1 : 1))
  t.strictSame(byName(found), byName(await usersOf('ldif')))

  const port = await freePort()
  const server = spawn(slapd ?? '', ['-d', '0', '-f', conf, '-h', `ldap://127.0.0.1:${port}/`], { stdio: 'ignore' })
  const ended = once(server, 'exit')
  t.teardown(async () => {
    server.kill()
    await ended
  })
  for (const { dn = '' } of entries) t.equal(await bind(port, dn, PASSWORD), 0, dn)
  t.equal(await bind(port, entries[0]?.['dn'] ?? '', `${PASSWORD}x`), 49, 'invalidCredentials')
})

/** Reads LDIF with folded lines and base64. */
function readLdif(text: string): Record<string, string>[] {
  return text
    .replaceAll('\n ', '')
    .split('\n\n')
    .map((entry) =>
      Object.fromEntries(
        [...entry.matchAll(/^([A-Za-z]+):(:?) (.*)$/gm)].map(([, name = '', encoded, value = '']) => [
          name,
          encoded ? Buffer.from(value, 'base64').toString() : value,
        ]),
      ),
    )
}
