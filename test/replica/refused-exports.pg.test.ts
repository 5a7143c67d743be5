import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { stateOf as stateOfLines } from '../../src/protocol/state.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { exportOf, makeUsers, put, startPair, stateOf, userLines } from './pair.ts'

const t = suite()

/*
 * Inconsistent exports do not change the replica. These changes were tried, and fail here: accepting an export without
 * comparing the state; not comparing lines while they are staged.
 */

const { source, replica } = await startPair(t)
await makeUsers(source.sql, 400)
await put(replica.url, await exportOf(source))
const old = await stateOf(source)
await source.sql`update users set role = 'changed' where username like 'user1%'`
await source.sql`delete from users where username like 'user2%'`
await makeUsers(source.sql, 50, 'new')
const now = await stateOf(source)
const full = await exportOf(source)
const delta = await exportOf(source, { base: old })

const isIdle = async () => {
  const [row] = await replica.sql<{ open: number }[]>`
    select count(*)::int as open from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null`
  return row?.open === 0
}

/**
 * The number of consecutive checks that must find no transaction: on a busy machine the next of many requests starts a
 * while after the previous one ended.
 */
const QUIET_CHECKS = 20

/** Whether nothing was changed and no transaction is open. */
async function isOld(): Promise<boolean> {
  let quiet = 0
  for (let i = 0; i < 1_000 && quiet < QUIET_CHECKS; i++, await sleep(10)) quiet = (await isIdle()) ? quiet + 1 : 0
  return quiet === QUIET_CHECKS && (await stateOf(replica)) === old
}

/** The export with its lines edited. */
const edited = (body: string, edit: (lines: string[]) => void) => {
  const lines = body.split('\n')
  edit(lines)
  return lines.join('\n')
}
const firstUser = (lines: string[]) => lines.findIndex((line) => line.startsWith('{"id"'))

/** With this edit of the first user's line. */
const withUser = (body: string, edit: (line: string) => string) =>
  edited(body, (lines) => {
    const at = firstUser(lines)
    lines[at] = edit(lines[at] ?? '')
  })

/** Without its first user, in the counts of head and end too. */
const withoutUser = (body: string) =>
  edited(body, (lines) => {
    lines.splice(firstUser(lines), 1)
    lines[0] = lines[0]?.replace(/"total_count":(\d+)/, (_, n) => `"total_count":${n - 1}`) ?? ''
    lines[lines.length - 2] = lines.at(-2)?.replace(/"lines":(\d+)/, (_, n) => `"lines":${n - 1}`) ?? ''
  })

/** With another line after the users, counted in the end line. */
const withLine = (body: string, line: string, users = 1) =>
  edited(body, (lines) => {
    lines.splice(-2, 0, line)
    lines[lines.length - 2] = lines.at(-2)?.replace(/"lines":(\d+)/, (_, n) => `"lines":${+n + users}`) ?? ''
  })

const otherId = (line: string) => line.replace(/^\{"id":"[^"]+"/, '{"id":"01890000-0000-7000-8000-00000000abcd"')
const someUser = userLines(full).at(-1) ?? ''
const deep = `${'['.repeat(60_000)}${']'.repeat(60_000)}`

const WRONG: [what: string, edit: (body: string) => string, status: number, code: string][] = [
  ['a changed user', (body) => withUser(body, (line) => line.replace('é', 'è')), 422, 'state_mismatch'],
  ['a missing user', withoutUser, 422, 'state_mismatch'],
  [
    'an extra user',
    (body) => withLine(body, otherId(someUser).replace('new', 'old').replace('new', 'old')),
    422,
    'state_mismatch',
  ],
  ['a different total', (body) => body.replace(/"total_count":\d+/, '"total_count":7'), 422, 'state_mismatch'],
  ['a different state', (body) => body.replaceAll(now, `u1-${'1'.repeat(64)}`), 422, 'state_mismatch'],
  [
    'credentials in a line',
    (body) => withUser(body, (line) => line.replace(/\}$/, ',"password":"x"}')),
    422,
    'export_invalid',
  ],
  [
    'a duplicate member',
    (body) => withUser(body, (line) => line.replace('"email":', '"email":"a@example.com","email":')),
    422,
    'export_invalid',
  ],
  [
    'a line with other spaces',
    (body) => withUser(body, (line) => line.replace('"email":', '"email": ')),
    422,
    'export_invalid',
  ],
  ['a missing member', (body) => withUser(body, (line) => line.replace(/"email":"[^"]+",/, '')), 422, 'export_invalid'],
  ['an invalid id', (body) => withUser(body, (line) => line.replace(/^\{"id":"/, '{"id":"x')), 422, 'export_invalid'],
  [
    'an invalid time',
    (body) => withUser(body, (line) => line.replace('"created_at":"2', '"created_at":"x')),
    422,
    'export_invalid',
  ],
  [
    'an infinite time',
    (body) => withUser(body, (line) => line.replace(/"created_at":"[^"]+"/, '"created_at":"infinity"')),
    422,
    'export_invalid',
  ],
  [
    'U+0000',
    (body) => withUser(body, (line) => line.replace('"username":"', '"username":"\\u0000')),
    422,
    'export_invalid',
  ],
  [
    'a bare NUL',
    (body) => withUser(body, (line) => line.replace('"username":"', '"username":"\0')),
    422,
    'export_invalid',
  ],
  [
    'a lone surrogate',
    (body) => withUser(body, (line) => line.replace('"username":"', '"username":"\\ud800')),
    422,
    'export_invalid',
  ],
  [
    'a name that is too long',
    (body) => withUser(body, (line) => line.replace('"username":"', `"username":"${'x'.repeat(300)}`)),
    422,
    'export_invalid',
  ],
  [
    'attributes that are not an object',
    (body) => withUser(body, (line) => line.replace(/"custom_attributes":\{[^}]*\}/, '"custom_attributes":[]')),
    422,
    'export_invalid',
  ],
  [
    'JSON that is too deep',
    (body) => withUser(body, (line) => line.replace('"custom_attributes":{', `"custom_attributes":{"d":${deep},`)),
    422,
    'export_invalid',
  ],
  ['invalid JSON', (body) => withUser(body, (line) => `${line.slice(0, -1)},}`), 422, 'export_invalid'],
  ['a duplicate user', (body) => withLine(body, someUser), 422, 'export_invalid'],
  ['a duplicate username', (body) => withLine(body, otherId(someUser)), 422, 'export_invalid'],
  ['a deletion with an invalid id', (body) => withLine(body, '{"deleted":"x"}', 0), 422, 'export_invalid'],
  [
    'the end of another export',
    (body) => body.replace(/"end":"u1-[0-9a-f]+"/, `"end":"${old}"`),
    400,
    'export_malformed',
  ],
  ['a wrong line count', (body) => body.replace(/"lines":\d+/, '"lines":1'), 400, 'export_cut'],
  ['a line after the end', (body) => `${body}${someUser}\n`, 400, 'export_malformed'],
  ['an empty body', () => '', 400, 'export_cut'],
  ['not an export', () => '{"username":"x@example.com"}\n', 400, 'export_malformed'],
]

t.test('an inconsistent export is rejected and changes nothing', async (t) => {
  for (const [n, [what, edit, status, code]] of WRONG.entries()) {
    const bodies = Object.entries({ full, delta })
    for (const [kind, body] of sized(bodies.slice(n % 2).slice(0, 1), bodies)) {
      const answer = await put(replica.url, edit(body))
      t.match(answer, { status, json: { code } }, `${kind}: ${what}: ${answer.status} ${answer.json.code}`)
      t.notMatch(JSON.stringify(answer.json), /staged|jsonb|constraint|relation|syntax/, 'no driver text')
    }
    t.equal(await stateOf(replica), old, what)
  }
  t.ok(await isOld())
  const unchanged = await exportOf(source, { base: now })
  const withRows = withLine(unchanged.replaceAll(now, old), someUser)
  t.match(await put(replica.url, withRows), { status: 400, json: { code: 'export_malformed' } }, 'unchanged, with rows')
  t.match(await put(replica.url, unchanged.replace(`"state":"${now}"`, `"state":"${old}"`)), { status: 409 })
  t.ok(await isOld())
})

const CUTS = sized(10, 60)

t.test('a body cut at any place is rejected and changes nothing', async (t) => {
  const bytes = Buffer.from(delta)
  const ends = Array.from({ length: CUTS }, (_, n) => Math.floor((bytes.length * n) / CUTS))
  for (const end of [...ends, bytes.length - 1]) {
    const { status, json } = await put(replica.url, bytes.subarray(0, end))
    // A character may be cut in two.
    if (status !== 400 || !/^(export_cut|invalid_request)$/.test(json.code ?? ''))
      t.fail(`${end}: ${status} ${json.code}`)
  }
  t.ok(await isOld())
})

t.test('a connection cut during the body changes nothing', async (t) => {
  const { hostname, port } = new URL(replica.url)
  for (const kind of sized([delta], [full, delta])) {
    const bytes = Buffer.from(kind)
    for (let n = 0; n < 12; n++) {
      const socket = connect(Number(port), hostname)
      socket.on('error', () => {})
      await once(socket, 'connect')
      socket.write(
        `PUT /v1/replica/users HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: ${bytes.length}\r\n\r\n`,
      )
      socket.write(bytes.subarray(0, Math.floor(((bytes.length - 1) * n) / 11)))
      await sleep(10 * (n % 5))
      if (n % 2) socket.destroy()
      else socket.end()
    }
  }
  t.ok(await isOld())
})

t.test('a wrong base is rejected after the first line, while the body is still being sent', async (t) => {
  const { hostname, port } = new URL(replica.url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  const head = `${delta.split('\n')[0]?.replace(old, `u1-${'2'.repeat(64)}`)}\n`
  socket.write(
    `PUT /v1/replica/users HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: 9000000\r\n\r\n${head}`,
  )
  setTimeout(() => socket.write('x'.repeat(100_000)), 200)
  let answer = ''
  for (const deadline = Date.now() + 2_000; !answer.includes('}') && Date.now() < deadline; ) {
    answer += (await once(socket, 'data')).join('')
  }
  socket.destroy()
  t.match(answer, /^HTTP\/1\.1 409 .*connection: close.*"code":"base_mismatch"/s)
  t.match(answer, `"state":"${old}"`)
  t.ok(await isOld())
})

t.test('a body that does not match its encoding, or is too large, is rejected', async (t) => {
  const coded = {
    gzip: gzipSync(full),
    br: brotliCompressSync(full),
    zstd: zstdCompressSync(full),
    deflate: deflateSync(full),
  }
  for (const [coding, bytes] of Object.entries(coded)) {
    const headers = { 'content-encoding': coding }
    for (const wrong of [full, bytes.subarray(0, bytes.length - 20), Buffer.concat([bytes, bytes])]) {
      t.match(await put(replica.url, wrong, { headers }), { status: 400 }, coding)
    }
    t.match(await put(replica.url, bytes), { status: 400 }, `${coding}, sent as identity`)
  }
  t.match(await put(replica.url, full, { headers: { 'content-encoding': 'snappy' } }), { status: 415 })
  t.match(await put(replica.url, full, { headers: { 'content-type': 'application/json' } }), { status: 415 })
  const bomb = gzipSync(full + someUser.repeat(100_000))
  t.match(await put(replica.url, bomb, { headers: { 'content-encoding': 'gzip' } }), { status: 413 })
  t.ok(await isOld())

  for (const [coding, bytes] of Object.entries(coded)) {
    await replica.sql`delete from users where username = 'user9'`
    t.match(await put(replica.url, bytes, { headers: { 'content-encoding': coding } }), { status: 200 }, coding)
    t.equal(await stateOf(replica), now)
  }
  t.equal(stateOfLines(userLines(await exportOf(replica))), now)
})
