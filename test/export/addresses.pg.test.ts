import { createHash } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import { pruneStep } from '../../src/states/retention.ts'
import { testDatabase } from '../database.ts'
import { type Answer, startService } from '../http/service.ts'
import { suite } from '../suite.ts'

const t = suite()

/*
 * Addresses that never change, over HTTP and with keys. These were tried, and fail here: an address that serves the present state whatever
 * it names; `export_timestamp` in it; a deciding `Accept`; logins that a cache may store; a Link without the query; no `Vary: Authorization`.
 */

const SECRETS: Record<string, string> = {
  reader: 'users:read',
  teller: 'users:read+credentials:read',
  root: 'admin',
  writer: 'users:write',
  elsewhere: 'users:read@elsewhere',
}
const secretOf = (name: string) => `${name}-s3cret-of-32-characters-or-more`
const API_KEYS = Object.entries(SECRETS)
  .map(([name, scopes]) => `${name}=${scopes}=${secretOf(name)}`)
  .join(',')
const DATABASE_URL = await testDatabase()
const settings = { DATABASE_URL, API_KEYS, SHARED_CACHE: 'on' }
const service = await startService(t, settings)
const { sql } = service

interface Problem {
  code: string
  state: string
  errors: { path: string }[]
}
type Options = { key?: string; headers?: Record<string, string>; method?: string; from?: typeof service }
const get = <Json = Problem>(
  path: string,
  { key = 'reader', headers = {}, method = 'GET', from = service }: Options = {},
) => from.call<Json>(method, path, { headers: { authorization: `Bearer ${secretOf(key)}`, ...headers } })

const stateOf = async (query: string, options?: Options) =>
  (await get<{ state: string }>(`/v1/states/current?${query}`, options)).json.state

/** Makes a pool with a batch of users, and returns the query that selects it. */
async function makePool(name: string, count = 3): Promise<string> {
  await service.call('POST', '/v1/pools', { headers: as('root'), body: { name } })
  const config = { password_hash: { algorithm: 'none' } }
  const headers = { ...as('root'), prefer: 'wait=30' }
  const made = await service.call('POST', `/v1/batches?pool=${name}`, { body: { count, config }, headers })
  if (made.status !== 201) throw new Error(`no batch: ${made.raw}`)
  return `pool=${name}`
}
const as = (key: string) => ({ authorization: `Bearer ${secretOf(key)}` })

const touch = (pool: string, role: string) => sql`
  update users set role = ${role} where pool_id = (select id from pools where name = ${pool})
    and id = (select min(id::text)::uuid from users where pool_id = (select id from pools where name = ${pool}))`

const FOR_EVER = 'public, max-age=31536000, immutable'
const fixed = ({ headers, raw }: Answer) => {
  const {
    date: _,
    connection: __,
    'keep-alive': ___,
    'transfer-encoding': ____,
    'content-length': _____,
    ...others
  } = headers
  return JSON.stringify([others, createHash('sha256').update(raw).digest('hex')])
}

t.test('an address has the same body and headers again, after other requests, and at another service', async (t) => {
  const query = await makePool('same', 40)
  const base = await stateOf(query)
  await touch('same', 'changed')
  const state = await stateOf(query)
  const paths = ['json', 'ndjson', 'csv'].flatMap((format) =>
    ['', '&shard=1/3', '&bulk_users_only=true'].flatMap((more) => [
      ...(more.startsWith('&bulk') ? [] : [`/v1/exports/${base}/${state}?${query}&format=${format}${more}`]),
      `/v1/exports/${state}?${query}&format=${format}${more}`,
      `/v1/exports/${state}/${state}?${query}&format=${format}${more}`,
    ]),
  )
  const first = new Map<string, string>()
  for (const path of paths) {
    const answer = await get(path)
    t.match(
      answer,
      { status: 200, headers: { 'cache-control': FOR_EVER, etag: `W/"${state}"`, 'usersync-state': state } },
      path,
    )
    t.equal(answer.headers.vary, 'accept-encoding, authorization')
    first.set(path, fixed(answer))
  }
  await get(`/v1/users/export?${query}&base=${base}`)
  await get(`/v1/users/export?${query}`)
  // A rate limit is about one request, so its headers must not be in what a cache repeats to others.
  const other = await startService(t, { ...settings, RATE_LIMIT: '1000000' })
  for (const path of paths) {
    t.equal(fixed(await get(path)), first.get(path), path)
    t.equal(fixed(await get(path, { from: other })), first.get(path), `${path} at another service`)
    const head = await get(path, { method: 'HEAD', from: other })
    t.equal(JSON.parse(fixed(head))[0]['cache-control'], FOR_EVER)
    t.equal(head.raw.length, 0)
  }
})

t.test('Accept decides nothing; Accept-Encoding decides the coding', async (t) => {
  const query = await makePool('accept', 30)
  const address = `/v1/exports/${await stateOf(query)}?${query}`
  const plain = await get<{ kind: string; export_timestamp?: string }>(address, { headers: { accept: 'text/csv' } })
  t.match(plain, {
    status: 200,
    headers: { 'content-type': 'application/json; charset=utf-8' },
    json: { kind: 'full' },
  })
  t.notOk(plain.json.export_timestamp, 'a time is not a function of the address')
  const encoded = await get(address, { headers: { 'accept-encoding': 'gzip' } })
  t.match(encoded.headers, {
    'content-encoding': 'gzip',
    'cache-control': FOR_EVER,
    vary: 'accept-encoding, authorization',
  })
  t.strictSame(gunzipSync(encoded.raw), plain.raw)
})

t.test('If-None-Match works as for every export, and not for a state that is gone', async (t) => {
  const query = await makePool('match')
  const base = await stateOf(query)
  await touch('match', 'changed')
  const state = await stateOf(query)
  for (const [address, kind] of [
    [`${state}`, 'full'],
    [`${base}/${state}`, 'delta'],
  ] as const) {
    for (const tag of [`W/"${state}"`, `"${state}-gzip"`, '*']) {
      const answer = await get(`/v1/exports/${address}?${query}`, { headers: { 'if-none-match': tag } })
      // A cache updates what it has stored with the headers of a 304.
      t.match(
        answer,
        { status: 304, headers: { 'cache-control': FOR_EVER, etag: `W/"${state}"`, 'usersync-kind': kind } },
        tag,
      )
      t.equal(answer.headers.vary, 'accept-encoding, authorization')
    }
    const other = await get(`/v1/exports/${address}?${query}`, { headers: { 'if-none-match': `W/"${base}"` } })
    t.equal(other.status, 200)
  }
  t.match(await get(`/v1/exports/${base}?${query}`, { headers: { 'if-none-match': `W/"${base}"` } }), { status: 404 })
})

t.test('a state that is gone is 404, with the address of the present one', async (t) => {
  const query = await makePool('gone')
  const base = await stateOf(query)
  await touch('gone', 'changed')
  const state = await stateOf(query)
  const never = `u1-${'9'.repeat(64)}`
  const all = `${query}&format=ndjson&shard=0/2`
  const delta = `</v1/exports/${base}/${state}?${all}>; rel="latest-version"`
  const full = `</v1/exports/${state}?${all}>; rel="latest-version"`
  const gone: [string, string][] = [
    [`${base}`, full],
    [`${never}`, full],
    [`${never}/${state}`, full],
    [`${never}/${never}`, full],
    [`${base}/${base}`, delta],
    [`${base}/${never}`, delta],
  ]
  for (const [address, link] of gone) {
    const answer = await get(`/v1/exports/${address}?${all}`)
    t.match(
      answer,
      { status: 404, json: { code: 'state_gone', state }, headers: { link, 'cache-control': 'no-store' } },
      address,
    )
    t.notOk(answer.headers.etag)
    const [, latest = ''] = /<(.*)>/.exec(String(answer.headers.link)) ?? []
    t.equal((await get(latest)).status, 200)
  }
  await sql`update states set recorded_at = recorded_at - interval '1 day'`
  const [pool] = await sql<{ id: number }[]>`select id from pools where name = 'gone'`
  await pruneStep(sql, pool?.id ?? 0, 3600)
  t.match(await get(`/v1/exports/${base}/${state}?${all}`), { status: 404, headers: { link: full } }, 'an expired base')
})

t.test('logins are not stored by caches, and need their scope', async (t) => {
  const query = await makePool('logins')
  const state = await stateOf(query)
  const address = `/v1/exports/${state}?${query}&format=ndjson`
  const [pool] = await sql<{ at: string }[]>`select rfc3339(created_at) as at from pools where name = 'logins'`
  t.match(await get(`${address}&include=password`), { status: 403, headers: { 'cache-control': 'no-store' } })
  const answer = await get(`${address}&include=password`, { key: 'teller' })
  t.match(answer.headers, { 'cache-control': 'private, no-store', 'usersync-pool-created': pool?.at })
  t.match(String(answer.raw).split('\n')[1], /"password":"[^"]+"\}$/)
  t.match((await get(address, { key: 'teller' })).headers, {
    'cache-control': FOR_EVER,
    'usersync-pool-created': undefined,
  })
  const current = await get(`/v1/states/current?${query}`)
  t.equal(current.headers['usersync-pool-created'], pool?.at, 'the look-up shows a pool that was made again')
})

t.test('keys: their scopes decide as everywhere, and no refusal is stored', async (t) => {
  const query = await makePool('keys')
  const state = await stateOf(query)
  const wide = await stateOf(`${query}&test_users_only=false`, { key: 'root' })
  const addresses = [`${state}?${query}`, `${state}/${state}?${query}`]
  for (const address of addresses) {
    t.match(await service.call('GET', `/v1/exports/${address}`), {
      status: 401,
      headers: { 'cache-control': 'no-store' },
    })
    t.match(await get(`/v1/exports/${address}`, { key: 'wrong' }), {
      status: 401,
      headers: { 'cache-control': 'no-store' },
    })
    t.match(await get(`/v1/exports/${address}`, { key: 'writer' }), {
      status: 403,
      headers: { 'cache-control': 'no-store' },
    })
    t.match(await get(`/v1/exports/${address}`, { key: 'elsewhere' }), {
      status: 404,
      json: { code: 'pool_not_found' },
    })
    t.equal((await get(`/v1/exports/${address}`, { key: 'teller' })).status, 200)
  }
  const ofAll = `/v1/exports/${wide}?${query}&test_users_only=false`
  t.equal((await get(ofAll)).status, 403)
  t.equal((await get(ofAll, { key: 'root' })).status, 200)
})

t.test('the current state may be cached for a second', async (t) => {
  const query = await makePool('second')
  const { headers } = await get(`/v1/states/current?${query}`)
  t.match(headers, {
    'cache-control': 'public, max-age=1, stale-while-revalidate=1',
    vary: 'accept-encoding, authorization',
  })
  const refused = await service.call('GET', `/v1/states/current?${query}`)
  t.match(refused, { status: 401, headers: { 'cache-control': 'no-store' } })
})

t.test('bad input', async (t) => {
  const query = await makePool('bad')
  const state = await stateOf(query)
  const bad: [path: string, member: string][] = [
    [`${state.toUpperCase()}?${query}`, 'params.state'],
    [`u2-${state.slice(3)}?${query}`, 'params.state'],
    [`${state}0?${query}`, 'params.state'],
    [`x/${state}?${query}`, 'params.base'],
    [`${state}/x?${query}`, 'params.state'],
    [`${state}?${query}&format=keycloak`, 'querystring.format'],
    [`${state}?${query}&format=xml`, 'querystring.format'],
    [`${state}?${query}&shard=3/3`, 'querystring.shard'],
    [`${state}?${query}&base=${state}`, 'querystring.base'],
    [`${state}?${query}&differential=false`, 'querystring.differential'],
    [`${state}?${query}&part=x`, 'querystring.part'],
  ]
  for (const [path, member] of bad) {
    const answer = await get(`/v1/exports/${path}`, { key: 'root' })
    t.match(
      answer,
      {
        status: 400,
        json: { code: 'invalid_request', errors: [{ path: member }] },
        headers: { 'cache-control': 'no-store' },
      },
      path,
    )
  }
  t.match(await get(`/v1/exports/${state}?pool=nowhere`), { status: 404, json: { code: 'pool_not_found' } })
  t.match(await get(`/v1/exports/?${query}`), { status: 404, json: { code: 'route_not_found' } })
  t.match(await get(`/v1/exports/${state}?${query}`, { method: 'DELETE', key: 'root' }), { status: 405 })
})
