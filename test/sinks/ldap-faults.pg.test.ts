import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { join } from 'node:path'
import tls from 'node:tls'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { connectEntries } from '../../src/sync/kinds/ldap/connect-entries.ts'
import { suite } from '../suite.ts'
import { LISTED_HOST, sinkRoutes, sinkService } from './sink.ts'
import { HASHES, LOGIN, NO_SLAPD, PEOPLE, startSlapd, WRITER } from './slapd.ts'

const t = suite()

/* What is wrong with a directory is found at the creation of the target, or by its first run, which says what to mend. */

const service = await sinkService(t)
const { log } = service
const { create, sync, batch } = sinkRoutes(service)
await batch(30, HASHES)

const { bind_dn } = LOGIN.mapping
const attributes = {
  objectClass: 'inetOrgPerson',
  uid: '{username}',
  cn: '{username}',
  sn: '{username}',
  employeeNumber: '{id}',
  userPassword: { $member: 'password_hash' },
}
const mapping = { bind_dn, base: PEOPLE, rdn: 'uid', attributes }

/** The mapping with other attributes. */
const at = (members: Record<string, unknown>) => ({
  mapping: { ...mapping, attributes: { ...attributes, ...members } },
})

t.test('all faults of a new target are listed with their paths', async (t) => {
  const faults: [path: string, members: object][] = [
    ...[
      'ldap://elsewhere',
      'http://127.0.0.1',
      'ldap://127.0.0.1/dc=x',
      'ldap://u:p@127.0.0.1',
      'ldapi://%2ftmp',
      'ldap://127.0.0.1:99999',
      'ldap:127.0.0.1',
    ].map((url): [string, object] => ['url', { url, mapping }]),
    ['mapping.bind_dn', { preset: 'inetorgperson' }],
    ['preset', { preset: 'posix' }],
    ['preset', { preset: 'inetorgperson', mapping }],
    ['mapping.rdn', { mapping: { ...mapping, rdn: 'mail' } }],
    ['mapping.rdn', { mapping: { ...mapping, rdn: 'userPassword' } }],
    ['mapping.rdn', at({ uid: 'the same' })],
    ['mapping.rdn', at({ uid: ['{username}', '{email}'] })],
    ['mapping.attributes.objectClass', at({ objectClass: undefined })],
    ['mapping.attributes.objectClass', at({ objectClass: ['person', '{role}'] })],
    ['mapping.attributes', at({ employeeNumber: 'x{id}' })],
    ['mapping.attributes.UID', at({ UID: '{email}' })],
    ['mapping.attributes.a b', at({ 'a b': 'x' })],
    ['mapping.attributes.mail', at({ mail: '{nobody}' })],
    ['mapping.attributes.mail', at({ mail: ['{email}', { $returned: 'x' }] })],
    ['mapping.attributes.mail', at({ mail: [['{email}']] })],
  ]
  for (const [path, members] of faults) {
    const answer = await create({ name: 'wrong', kind: 'ldap', url: 'ldap://127.0.0.1', ...members })
    t.match(answer, { status: 400, json: { errors: [{ path: `body.${path}` }] } }, JSON.stringify(members))
    t.equal(answer.json.errors?.length, path === 'mapping.bind_dn' ? 2 : 1, path)
  }
  t.equal((await create({ ...LOGIN, name: 'clear', url: `ldap://${LISTED_HOST}` })).status, 201)
  t.equal(log.filter((line) => line.includes('unencrypted')).length, 1, 'a password without TLS to another host')
  t.equal((await create({ ...LOGIN, name: 'ipv6', url: 'LDAPS://[::1]:1636/' })).json.url, 'ldaps://[::1]:1636')
  t.equal((await create({ ...LOGIN, name: 'encrypted', url: `ldaps://${LISTED_HOST}` })).status, 201)
  t.equal(log.filter((line) => line.includes('unencrypted')).length, 1)
})

/** Creates a target and runs it, which fails in under 5 s. */
async function runFails(t: Test, name: string, members: object, failure: string, detail: RegExp): Promise<void> {
  const began = performance.now()
  t.equal((await create({ name, kind: 'ldap', key: LOGIN.key, mapping, ...members })).status, 201)
  t.match(await sync(name), { status: 'failed', failure, detail, added_count: 0 }, name)
  t.ok(performance.now() - began < 5_000, `${name}: in ${Math.round(performance.now() - began)} ms`)
}

t.test('with a real directory', { skip: NO_SLAPD }, async (t) => {
  const slapd = await startSlapd(t, {
    database: `access to * by dn.exact="${WRITER}" read by * auth`,
  })
  const before = await slapd.entries()
  const other = createServer((_, response) => void response.end())
  await new Promise<void>((resolve) => void other.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise((resolve) => void other.close(resolve)))
  const { port: httpPort } = other.address() as AddressInfo

  await t.test('the first run says what to mend, in under 5 s, and nothing is written', async (t) => {
    const cases: [name: string, members: object, failure: string, detail: RegExp][] = [
      ['password', { key: 'wrong' }, 'unauthorized', /bind_dn or the password \(LDAP result 49\)/],
      ['no-key', { key: null }, 'unauthorized', /^key: /],
      ['nobody', { mapping: { ...mapping, bind_dn: 'cn=nobody,dc=example,dc=com' } }, 'unauthorized', /49/],
      ['no-name', { mapping: { ...mapping, bind_dn: 'admin' } }, 'refused', /mapping\.bind_dn/],
      [
        'no-base',
        { mapping: { ...mapping, base: 'ou=nowhere,dc=example,dc=com' } },
        'refused',
        /mapping\.base: .*no such.* Create the entry, or write/,
      ],
      ['no-suffix', { mapping: { ...mapping, base: 'dc=nowhere' } }, 'refused', /mapping\.base/],
      ['base-form', { mapping: { ...mapping, base: 'people' } }, 'refused', /mapping\.base: .*name/],
      [
        'attribute',
        at({ shoeSize: '42', hatSize: '1' }),
        'refused',
        /mapping\.attributes: .*attribute hatSize, shoeSize/,
      ],
      ['class', at({ objectClass: ['person', 'martian'] }), 'refused', /attributes\.objectClass: .*class martian/],
      [
        'unsearchable',
        at({ employeeNumber: undefined, jpegPhoto: '{id}' }),
        'refused',
        /search for values of jpegPhoto/,
      ],
      ['rights', { mapping: { ...mapping, bind_dn: WRITER } }, 'unauthorized', /lacks the right .*50/],
      ['tls', { url: slapd.url.replace('ldap:', 'ldaps:') }, 'unreachable', /ECONNRESET/],
      ['http', { url: `ldap://127.0.0.1:${httpPort}` }, 'unreachable', /does not answer the login/],
      ['down', { url: 'ldap://127.0.0.1:9' }, 'unreachable', /ECONNREFUSED/],
    ]
    for (const [name, members, failure, detail] of cases)
      await runFails(t, name, { url: slapd.url, ...members }, failure, detail)
    t.strictSame(await slapd.entries(), before)
  })
})

t.test('TLS', { skip: NO_SLAPD }, async (t) => {
  const folder = t.testdir({})
  await promisify(execFile)('openssl', [
    ...['req', '-x509', '-days', '2', '-nodes', '-newkey', 'rsa:2048', '-keyout', join(folder, 'key.pem')],
    ...['-out', join(folder, 'cert.pem'), '-subj', '/CN=directory', '-addext', 'subjectAltName=IP:127.0.0.1'],
  ])
  const files = `TLSCertificateFile ${folder}/cert.pem\nTLSCertificateKeyFile ${folder}/key.pem`
  const slapd = await startSlapd(t, { global: files, protocol: 'ldaps' })
  const before = await slapd.entries()
  const { url } = slapd
  await runFails(t, 'unknown-ca', { url }, 'unreachable', /certificate is not trusted; NODE_EXTRA_CA_CERTS/)
  await runFails(t, 'cleartext', { url: url.replace('ldaps:', 'ldap:') }, 'unreachable', /does not answer the login/)
  t.strictSame(await slapd.entries(), before)

  const known = tls.getCACertificates('default')
  tls.setDefaultCACertificates([...known, await readFile(join(folder, 'cert.pem'), 'utf8')])
  t.teardown(() => tls.setDefaultCACertificates(known))
  await runFails(t, 'host', { url: url.replace('127.0.0.1', 'localhost') }, 'unreachable', /for another host/)
  await create({ ...LOGIN, name: 'trusted', url })
  t.match(await sync('trusted'), { status: 'succeeded', added_count: 30 })
  t.equal((await slapd.entries()).length, before.length + 30)
})

t.test('a server that answers nothing, and a run that ends meanwhile', async (t) => {
  const sockets = new Set<Socket>()
  const silent = createTcpServer((socket) => void sockets.add(socket.resume().on('error', () => {})))
  await new Promise<void>((resolve) => void silent.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise((resolve) => void silent.close(resolve)))
  const url = `ldap://127.0.0.1:${(silent.address() as AddressInfo).port}`
  const address = { url, key: LOGIN.key, mapping, connections: 1 }
  const stopping = new AbortController()
  const sink = connectEntries({ ...address, signal: stopping.signal })
  const stopped = t.rejects(sink.probe(), { message: 'stopping' })
  const began = performance.now()
  await once(silent, 'connection')
  stopping.abort(new Error('stopping'))
  await stopped
  t.ok(performance.now() - began < 2_000)
  const waiting = connectEntries({ ...address, signal: new AbortController().signal })
  await t.rejects(waiting.probe(), { fault: 'timeout', message: /does not answer/ })
  t.ok(performance.now() - began < 7_000)
  for (const socket of sockets) if (!socket.closed) await once(socket, 'close')
  t.pass('both connections are closed')
})

t.test('no password and no text of a server is in the log', (t) => {
  t.notOk(log.some((line) => line.includes(LOGIN.key) || /"wrong"|invalid DN|attribute type undefined/.test(line)))
  t.end()
})
