import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { as, secretOf } from '../http/keys.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'
import { API_KEYS } from './keys.ts'
import { type Lease, makePool } from './pool.ts'

const t = suite()

/* The Simple Table Server in front of leases, as the scripts of JMeter see it: by the bytes of its pages. */

const service = await sharedService(t, { API_KEYS })
const asRoot: typeof service.call = (method, path, { headers, ...request } = {}) =>
  service.call(method, path, { ...request, headers: { ...as('root'), ...headers } })
const pool = (users: number) => makePool({ ...service, call: asRoot }, users)

const basic = (name: string, scheme = 'Basic') => ({
  authorization: `${scheme} ${Buffer.from(`${name}:${secretOf(name)}`).toString('base64')}`,
})
/** The page that a command returns, and its status unless that is 200. */
async function sts(command: string, parameters: Record<string, string> = {}, name = 'lessee', asForm = false) {
  const query = String(new URLSearchParams(parameters))
  const form = { ...basic(name), 'content-type': 'application/x-www-form-urlencoded' }
  const { status, raw } = asForm
    ? await service.call('POST', `/sts/${command}`, { headers: form, body: query })
    : await service.call('GET', `/sts/${command}?${query}`, { headers: basic(name) })
  return status === 200 ? raw.toString() : `${status} ${raw}`
}
const ok = (body: string | number) => `<html><title>OK</title>\n<body>${body}</body>\n</html>`
const ko = (sentence: string) => `<html><title>KO</title>\n<body>Error : ${sentence}</body>\n</html>`
const NAMES = { COLUMNS: 'username' }
const journal = async (name: string) =>
  (await asRoot<{ items: { status: string; owner: string; api_key: string }[] }>('GET', `/v1/leases?pool=${name}`)).json
    .items

t.test('the bytes of a response are those of the Simple Table Server', async (t) => {
  const name = await pool(1)
  const socket = connect(Number(new URL(service.url).port), '127.0.0.1')
  await once(socket, 'connect')
  const { authorization } = basic('lessee')
  socket.write(
    `GET /sts/READ?READ_MODE=FIRST&KEEP=FALSE&FILENAME=${name.toUpperCase()}.csv&COLUMNS=username,email HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nConnection: close\r\n\r\n`,
  )
  const [head = '', body] = (await text(socket)).split('\r\n\r\n')
  t.match(head, /^HTTP\/1\.1 200 OK\r\n/)
  t.match(head, /\r\ncontent-type: text\/html; charset=utf-8(\r\n|$)/i)
  t.match(head, /\r\ncache-control: no-store(\r\n|$)/i)
  t.match(head, /\r\ncontent-security-policy: default-src 'none'; frame-ancestors 'none'; sandbox(\r\n|$)/i)
  t.equal(body, '<html><title>OK</title>\n<body>u1;u1@example.com</body>\n</html>')
})

t.test('a line is in one hand until it is added again', async (t) => {
  const FILENAME = await pool(3)
  t.equal(await sts('LENGTH', { FILENAME }), ok(3))
  const read = () => sts('READ', { FILENAME, KEEP: 'FALSE', ...NAMES })
  t.strictSame(new Set([await read(), await read(), await read()]), new Set(['u1', 'u2', 'u3'].map(ok)))
  t.match(await read(), /^<html><title>KO<\/title>\n<body>Error : No more line ! 0 users are free, 3 leased/)
  t.equal(await sts('LENGTH', { FILENAME }), ok(0))
  for (const asForm of [false, true]) {
    t.equal(await sts('ADD', { FILENAME, LINE: 'u2', ADD_MODE: 'LAST', ...NAMES }, 'lessee', asForm), ok(''))
    t.equal(await read(), ok('u2'))
  }
  t.strictSame(
    (await journal(FILENAME)).map(({ status, owner, api_key }) => `${status} ${owner} ${api_key}`).toSorted(),
    ['active', 'active', 'active', 'returned', 'returned'].map((status) => `${status} sts 127.0.0.1 lessee`),
  )
})

t.test('KEEP=TRUE, the default, holds nobody and goes round', async (t) => {
  const FILENAME = await pool(3)
  const names: string[] = []
  for (let n = 0; n < 6; n++) names.push(await sts('READ', { FILENAME, ...NAMES }))
  t.equal(new Set(names.slice(0, 3)).size, 3)
  t.strictSame(names.slice(3), names.slice(0, 3))
  t.equal(await sts('LENGTH', { FILENAME }), ok(3))
  for (const READ_MODE of ['LAST', 'RANDOM'])
    t.match(await sts('READ', { FILENAME, READ_MODE, ...NAMES }), /OK.*\n<body>u/)
  await sts('READ', { FILENAME, KEEP: 'FALSE', ...NAMES })
  const rest = await Promise.all(Array.from({ length: 6 }, () => sts('READ', { FILENAME, ...NAMES })))
  t.ok(new Set(rest.filter((page) => page.includes('OK'))).size <= 2, 'not the user that is leased')
})

t.test('a line ends after TTL, and INITFILE returns what this client read', async (t) => {
  const FILENAME = await pool(3)
  const before = Date.now()
  await sts('READ', { FILENAME, KEEP: 'FALSE', ...NAMES })
  await sts('READ', { FILENAME, KEEP: 'FALSE', TTL: '60', ...NAMES })
  await sts('READ', { FILENAME, KEEP: 'FALSE', ...NAMES }, 'nameless')
  const { json } = await asRoot<{ items: { expires_at: string }[] }>('GET', `/v1/leases?pool=${FILENAME}`)
  const seconds = json.items.map(({ expires_at }) => Math.round((Date.parse(expires_at) - before) / 1000))
  t.ok(
    seconds.every((found, n) => Math.abs(found - (n === 1 ? 60 : 14_400)) < 20),
    String(seconds),
  )
  t.equal(await sts('INITFILE', { FILENAME }), ok(2), 'the line of the other key stays with it')
  t.equal(await sts('LENGTH', { FILENAME }), ok(2))
})

t.test('a line has the chosen columns', async (t) => {
  await asRoot('POST', '/v1/batches', {
    body: { count: 1, config: { password: 'p;w', username_pattern: 'chosen_{id}' } },
    headers: { prefer: 'wait=30' },
  })
  const FILENAME = 'default'
  const read = (more: object, name?: string) => sts('READ', { FILENAME, ...more }, name)
  t.equal(await read({ SEPARATOR: ',' }), ok('chosen_1,p;w'))
  t.match(await read({}), /KO.*\n<body>Error : The password of the user contains ; or a line end\. Choose another SEP/)
  t.equal(await sts('LENGTH', { FILENAME }), ok(1), 'the user was not kept')
  t.match(await read({ COLUMNS: 'username,totp_secret' }), /KO.*\n.*Error : The user has no totp_secret\. /)
  t.match(await read({}, 'nameless'), /^403 <html><title>KO.*\n<body>Error : .*credentials:read/)
  t.equal(await read({ KEEP: 'FALSE', COLUMNS: 'email,role', SEPARATOR: ' | ' }), ok('chosen_1@example.com | user'))
  t.equal(
    await sts('ADD', { FILENAME, LINE: 'chosen_1@example.com | user', COLUMNS: 'email,role', SEPARATOR: ' | ' }),
    ok(''),
  )
  t.equal(await sts('LENGTH', { FILENAME }), ok(1))
})

t.test('a refusal is shown even if the user cannot be returned at that moment', async (t) => {
  const FILENAME = await pool(1)
  await service.sql.unsafe(`
    create function usersync.no_end() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
    create trigger no_end before update of ended_at on usersync.leases for each row execute function usersync.no_end()`)
  t.teardown(() => service.sql.unsafe('drop trigger no_end on usersync.leases; drop function usersync.no_end'))
  t.match(await sts('READ', { FILENAME, COLUMNS: 'totp_secret' }), /KO.*\n.*Error : The user has no totp_secret\. /)
})

t.test('ADD returns only what this client read', async (t) => {
  const FILENAME = await pool(2)
  const add = (LINE: string, more = {}) => sts('ADD', { FILENAME, LINE, ...NAMES, ...more })
  const lease = await asRoot<Lease>('POST', '/v1/leases', { body: { pool: FILENAME } })
  const { username = '' } = lease.json.users[0] ?? {}
  t.equal(await add(username), ko('The user is leased by another client, which has to return it.'))
  t.equal(await sts('LENGTH', { FILENAME }), ok(1))
  await asRoot('POST', `/v1/leases/${lease.json.id}/return`, {
    body: { pool: FILENAME, fence: lease.json.fence, outcome: 'dirty' },
  })
  t.equal(await add(username), ko('The user is dirty. RESET frees it.'))
  t.equal(await sts('RESET', { FILENAME }), ok(''))
  t.equal(await add(username), ok(''), 'it is free')
  t.equal(await add('u1', { UNIQUE: 'TRUE' }), ko('ENTRY already exists !'))
  t.match(await add('nobody'), /KO.*\n.*Error : The pool \S+ has no user with this username\. Create users with/)
  t.match(await add('u1;pw'), /KO.*\n.*has no user/)
  t.match(await sts('ADD', { FILENAME, LINE: 'u1' }), /KO.*\n.*LINE has to be username;password, as READ returned it/)
  t.match(await add('x', { COLUMNS: 'role' }), /KO.*\n.*COLUMNS needs username, email or id/)
  t.equal(await sts('ADD', { FILENAME }), ko('LINE parameter was missing !'))
})

t.test('an error is a page with a sentence', async (t) => {
  const FILENAME = await pool(1)
  t.equal(await sts('READ'), ko('FILENAME parameter was missing !'))
  t.match(await sts('READ', { FILENAME: 'a/b.csv' }), /KO.*\n.*Error : FILENAME has to be the name of a pool: /)
  t.match(
    await sts('LENGTH', { FILENAME: 'no-such.csv' }),
    /KO.*\n<body>Error : no-such\.csv not loaded yet ! Create the pool no-such and/,
  )
  t.match(await sts('READ', { FILENAME, KEEP: '<b>' }), /KO.*\n<body>Error : KEEP .*: TRUE, FALSE\.<\/body>/)
  t.match(await sts('READ', { FILENAME, TTL: '0' }), /KO.*\n<body>Error : TTL must be a whole number from 1 to 86400\./)
  t.match(await sts('READ', { FILENAME, KEPP: 'FALSE' }), /KO.*\n<body>Error : KEPP is not known here\./)
  t.match(await sts('READ', { FILENAME, COLUMNS: 'username,pin' }), /KO.*\n.*COLUMNS has to be a list of some of id,/)
  t.match(await sts('READ', { FILENAME, ...NAMES, SEPARATOR: '\n' }), /KO.*\n.*SEPARATOR has to be a text without/)
  t.match(await sts(`LENGTH?FILENAME=a&FILENAME=b&x=`), /KO.*\n<body>Error : .*FILENAME must be string\./)
  t.match(await sts('READ', { FILENAME, LINE: '\0' }, 'lessee', true), /KO/)
  t.match(await sts('ADD', { FILENAME, LINE: 'a\0', ...NAMES }), /KO.*\n<body>Error : A text contains U\+0000/)
  t.match(await sts('SAVE', { FILENAME }), /^404 .*KO.*\n<body>Error : unknown command ! There are READ, ADD/)
  t.match(await sts('READ', { FILENAME }, 'stranger'), /^401 .*KO/)
  t.match(await sts('READ', { FILENAME }, 'reader'), /^403 .*KO/)
  t.match(await sts('READ', { FILENAME }, 'shop'), /KO.*\n.*not loaded yet !/, 'a key of another pool')
  const json = await service.call('POST', '/sts/LENGTH', { headers: basic('lessee'), body: { FILENAME } })
  t.match([json.status, String(json.raw)], [415, /KO.*\n.*Send parameters in the query, or as application\/x-www/])
  t.equal((await service.call('HEAD', `/sts/READ?FILENAME=${FILENAME}`, { headers: basic('lessee') })).status, 405)
  t.equal(await sts('LENGTH', { FILENAME }), ok(1), 'nothing has changed')
})

t.test('STATUS shows the pools of the key', async (t) => {
  await asRoot('POST', '/v1/pools', { body: { name: 'shop' } })
  await asRoot('POST', '/v1/leases', { body: { pool: 'shop', partial: true } })
  t.equal(await sts('STATUS', {}, 'shop'), '<html><title>OK</title>\n<body>\nshop = 0<br />\n</body></html>')
  t.match(await sts('STATUS'), /\ndefault = 1<br \/>\n(.*\n)*shop = 0<br \/>\n/)
  t.equal(await sts('STATUS', { FILENAME: 'shop.csv' }), await sts('STATUS', {}, 'shop'))
})

t.test('pages of other sites cannot read lines, whatever the browser knows', async (t) => {
  const headers = { ...basic('lessee'), 'sec-fetch-site': 'cross-site' }
  const { status, raw } = await service.call('GET', '/sts/LENGTH?FILENAME=default', { headers })
  t.match([status, String(raw)], [403, /<title>KO/])
  const { headers: challenge } = await service.call('GET', '/sts/LENGTH?FILENAME=default')
  t.equal(challenge['www-authenticate'], 'Bearer realm="usersync", Basic realm="usersync"')
  t.equal(
    (await service.call('GET', '/v1/leases', { headers: basic('lessee') })).status,
    401,
    'Basic is for /sts/ only',
  )
})

t.test('no line is logged', async (t) => {
  const FILENAME = await pool(1)
  await sts('READ', { FILENAME, KEEP: 'FALSE', ...NAMES })
  await sts('ADD', { FILENAME, LINE: 'u1', ...NAMES })
  await sts('ADD', { FILENAME, LINE: 'u-nobody', ...NAMES })
  await sts('RESET', { FILENAME })
  t.ok(service.log.length > 0)
  t.notMatch(service.log.join(''), /"[^"]*(u1\b|u-nobody|chosen_1)/)
  t.match(service.log.join(''), /"audit":\{"actor":"lessee","action":"GET \/sts\/RESET"/)
})
