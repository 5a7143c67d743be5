import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib'
import { stateOf } from '../../src/protocol/state.ts'
import { ANY_BATCH } from '../../src/states/filter.ts'
import { as, WITH_KEYS } from '../http/keys.ts'
import type { Answer } from '../http/service.ts'
import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { applyExport } from './apply-export.ts'
import { NOTHING } from './observe.ts'

const t = suite()

/* The export over HTTP: encodings, formats, headers, conditional requests. */

const { sql, call } = await sharedService(t, WITH_KEYS)

const get = <Json = unknown>(path: string, headers: Record<string, string> = {}, key = 'reader') =>
  call<Json>('GET', path, { headers: { ...as(key), ...headers } })

const USERS = sized(2_400, 20_000)
const BULK_USERS = USERS * 0.75
const BATCH = '01890000-0000-7000-8000-000000000000'
await sql`
  insert into users (username, email, created_by_bulk, batch_id, custom_attributes)
  select 'user_' || n || '@example.com', 'user_' || n || '@example.com', n <= ${BULK_USERS}::int, case when n <= 3 then ${BATCH}::uuid end,
    '{"plan": "gold"}'
  from generate_series(1, ${USERS}::int) n`
await sql`insert into users (username, email, is_test_user) values ('real', 'real@shop.de', false)`
await sql`insert into pools (name) values ('small'), ('empty')`
await sql`insert into users (pool_id, username, email) select id, 'single', 'single@example.com' from pools where name = 'small'`

interface Export {
  kind: string
  reason: string | null
  base: string | null
  state: string
  total_count: number
  counts: object
  filters: object
  export_timestamp: string
  source_system: string
  users: { id: string }[]
}

const currentState = async (query = '') =>
  (await get<{ state: string }>(`/v1/states/current?${query}`, {}, 'root')).json.state

/** The headers of every export. */
function checkHeaders(t: Tap, { headers }: Answer, expected: { kind: string; base: string; state: string }) {
  t.match(headers, {
    etag: `W/"${expected.state}"`,
    'cache-control': 'private, no-cache',
    'usersync-kind': expected.kind,
    'usersync-base': expected.base,
    'usersync-state': expected.state,
  })
  const vary = String(headers.vary).toLowerCase().split(/, */)
  t.strictSame(vary.toSorted(), ['accept', 'accept-encoding', 'authorization'], 'Vary')
}
type Tap = Pick<typeof t, 'match' | 'strictSame'>

const DECODERS = {
  zstd: zstdDecompressSync,
  br: brotliDecompressSync,
  gzip: gunzipSync,
  deflate: inflateSync,
} as const

t.test('every content encoding saves 80 % and decodes to the same export', async (t) => {
  const plain = await get('/v1/users/export?format=ndjson')
  t.equal(plain.headers['content-encoding'], undefined)
  const { head, held } = applyExport(NOTHING, plain.raw.toString())
  t.match(head, {
    kind: 'full',
    reason: 'none',
    base: null,
    total_count: USERS,
    counts: { added: USERS, updated: 0, deleted: 0 },
  })
  t.equal(held.lines.size, USERS)
  for (const [coding, decode] of Object.entries(DECODERS)) {
    const answer = await get('/v1/users/export?format=ndjson', { 'accept-encoding': coding })
    t.equal(answer.headers['content-encoding'], coding)
    checkHeaders(t, answer, { kind: 'full', base: 'none', state: head.state })
    const share = answer.raw.length / plain.raw.length
    t.ok(share <= 0.2, `${coding} leaves ${(share * 100).toFixed(1)} %`)
    t.ok(decode(answer.raw).equals(plain.raw), `${coding} decodes to the same export`)
  }
})

t.test('JSON and NDJSON contain the same export', async (t) => {
  const answer = await get<Export>('/v1/users/export')
  const { head, held } = applyExport(NOTHING, (await get('/v1/users/export?format=ndjson')).raw.toString())
  const { users, export_timestamp, ...rest } = answer.json
  t.strictSame(rest, {
    kind: 'full',
    reason: 'none',
    base: null,
    state: head.state,
    total_count: USERS,
    counts: { added: USERS, updated: 0, deleted: 0 },
    filters: { pool: 'default', batch_id: null, test_users_only: true, bulk_users_only: false },
    source_system: 'usersync',
  })
  t.match(export_timestamp, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  const ids = users.map(({ id }) => id)
  t.strictSame(ids, ids.toSorted(), 'ordered by id')
  const lines = [...held.lines.values()]
  t.ok(
    JSON.stringify(users) === `[${lines.map((line) => JSON.stringify(JSON.parse(line))).join(',')}]`,
    'the same users',
  )
  t.ok(answer.raw.includes(lines.at(-1) ?? ''), 'with the same text')
})

t.test('a small export is sent uncompressed, with Content-Length', async (t) => {
  for (const query of ['pool=small', 'pool=small&format=ndjson', 'pool=empty&format=ndjson']) {
    const { headers, raw } = await get(`/v1/users/export?${query}`, { 'accept-encoding': 'zstd, br, gzip' })
    t.equal(headers['content-encoding'], undefined, query)
    t.equal(headers['content-length'], String(raw.length), query)
    t.ok(raw.length < 1024)
  }
  const empty = (await get('/v1/users/export?pool=empty&format=ndjson')).raw.toString()
  t.strictSame(applyExport(NOTHING, empty).held.lines, new Map())
})

t.test('a client that has the current state gets 304 without a body', async (t) => {
  const state = await currentState()
  for (const tags of [
    `W/"${state}"`,
    `"${state}"`,
    `"old", W/"${state}"`,
    `W/"u1-${'0'.repeat(64)}", W/"${state}"`,
    '*',
  ]) {
    const answer = await get('/v1/users/export', { 'if-none-match': tags, 'accept-encoding': 'gzip' })
    t.match({ status: answer.status, length: answer.raw.length }, { status: 304, length: 0 }, tags)
    checkHeaders(t, answer, { kind: 'unchanged', base: state, state })
  }
  const json = await get<Export & { added: []; updated: []; deleted: [] }>(`/v1/users/export?base=${state}`)
  checkHeaders(t, json, { kind: 'unchanged', base: state, state })
  t.match(json, {
    status: 200,
    json: {
      kind: 'unchanged',
      reason: null,
      base: state,
      state,
      total_count: USERS,
      counts: { added: 0, updated: 0, deleted: 0 },
    },
  })
  t.strictSame([json.json.added, json.json.updated, json.json.deleted, json.json.users], [[], [], [], undefined])
  const ndjson = (await get(`/v1/users/export?format=ndjson&base=${state}`)).raw.toString()
  t.match(ndjson.split('\n'), [/^{"kind":"unchanged"/, `{"end":"${state}","lines":0}`, ''])
})

t.test('a full export gives the reason why it is full', async (t) => {
  const state = await currentState('pool=small')
  const unknown = `u1-${'ab'.repeat(32)}`
  const table: [query: string, headers: Record<string, string>, reason: string][] = [
    ['', {}, 'none'],
    ['', { 'if-none-match': '"abc"' }, 'none'],
    ['', { 'if-none-match': `W/"${state.toUpperCase()}"` }, 'none'],
    ['', { 'if-none-match': `W/"${unknown}"` }, 'unknown'],
    [`base=${unknown}`, {}, 'unknown'],
    [`base=${await currentState()}`, {}, 'unknown'],
    [`base=${state}&bulk_users_only=true`, {}, 'unknown'],
    ['differential=false', {}, 'requested'],
    [`differential=false&base=${state}`, {}, 'requested'],
    ['differential=false', { 'if-none-match': `W/"${state}"` }, 'requested'],
  ]
  for (const [query, headers, reason] of table) {
    const what = `${query} ${JSON.stringify(headers)}`.slice(0, 60)
    const json = await get<Export>(`/v1/users/export?pool=small&${query}`, headers)
    t.match(json, { status: 200, json: { kind: 'full', reason, base: null } }, what)
    checkHeaders(t, json, { kind: 'full', base: 'none', state: json.json.state })
    const ndjson = await get(`/v1/users/export?pool=small&format=ndjson&${query}`, headers)
    t.match(applyExport(NOTHING, ndjson.raw.toString()).head, { kind: 'full', reason, base: null }, what)
  }
})

t.test('an invalid base is rejected', async (t) => {
  const state = await currentState()
  for (const base of [
    '',
    'x',
    state.toUpperCase(),
    state.slice(0, -1),
    `${state}0`,
    `W/"${state}"`,
    state.replace('u1', 'u2'),
  ]) {
    const answer = await get(`/v1/users/export?base=${encodeURIComponent(base)}`)
    t.match(answer, { status: 400, json: { code: 'base_invalid' } }, base)
    t.equal(answer.headers.etag, undefined)
  }
  for (const query of [
    'bse=1',
    'format=xml',
    'differential=maybe',
    'test_users_only=2',
    'batch_id=1',
    `batch_id=${ANY_BATCH}`,
    'pool=A',
  ]) {
    t.match(await get(`/v1/users/export?${query}`), { status: 400, json: { code: 'invalid_request' } }, query)
  }
})

t.test('each filter has its own users and its own state', async (t) => {
  const filters: [query: string, users: number][] = [
    ['', USERS],
    ['bulk_users_only=true', BULK_USERS],
    [`batch_id=${BATCH}`, 3],
    [`batch_id=${BATCH.toUpperCase()}&bulk_users_only=true`, 3],
    ['test_users_only=false', USERS + 1],
    ['pool=small', 1],
    ['pool=empty', 0],
    ['batch_id=01890000-0000-7000-8000-00000000ffff', 0],
  ]
  const states = new Map<string, string>()
  for (const [query, users] of filters) {
    const { raw } = await get(`/v1/users/export?format=ndjson&${query}`, {}, 'root')
    const { held } = applyExport(NOTHING, raw.toString())
    t.equal(held.lines.size, users, query)
    t.equal(held.state, stateOf(held.lines.values()), query)
    t.match(
      (await get(`/v1/states/current?${query}`, {}, 'root')).json,
      { state: held.state, total_count: users },
      query,
    )
    states.set(query, held.state ?? '')
  }
  t.equal(states.get('pool=empty'), `u1-${'0'.repeat(64)}`)
  t.equal(new Set(states.values()).size, 6, 'the two empty filters, and the two of one batch, have the same state')
  t.match((await get('/v1/states/current')).json, { oldest_base_at: /^\d{4}-.*Z$/ })
  t.match((await get('/v1/states/current?pool=empty')).json, { oldest_base_at: null })
})

t.test('only an admin key can read users that are not test users', async (t) => {
  for (const path of ['/v1/users/export', '/v1/states/current', '/v1/users']) {
    t.match(await get(`${path}?test_users_only=false`), { status: 403, json: { code: 'forbidden' } }, path)
    t.equal((await get(`${path}?test_users_only=false`, {}, 'root')).status, 200, path)
  }
})

t.test('HEAD has the same headers as GET, without the body', async (t) => {
  const head = (path: string, headers = {}) => call('HEAD', path, { headers: { ...as('reader'), ...headers } })
  const state = await currentState()
  const full = await head('/v1/users/export?format=ndjson', { 'accept-encoding': 'gzip' })
  t.match({ status: full.status, length: full.raw.length }, { status: 200, length: 0 })
  t.match(full.headers['content-type'], /^application\/x-ndjson/)
  checkHeaders(t, full, { kind: 'full', base: 'none', state })
  t.equal(full.headers['content-length'], undefined, 'the length is unknown before the export is created')
  t.equal((await head('/v1/users/export', { 'if-none-match': `W/"${state}"` })).status, 304)
  t.equal((await head('/v1/users/export?base=x')).status, 400)
  const [stale, unknown] = [`u1-${'0'.repeat(64)}`, `u1-${'ab'.repeat(32)}`]
  checkHeaders(t, await head(`/v1/users/export?base=${stale}`), { kind: 'delta', base: stale, state })
  checkHeaders(t, await head(`/v1/users/export?base=${state}`), { kind: 'unchanged', base: state, state })
  const list = { 'if-none-match': `W/"${unknown}", W/"${stale}"` }
  checkHeaders(t, await head('/v1/users/export', list), { kind: 'delta', base: stale, state })
})
