import { writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib'
import type { Test } from 'tap'
import { request } from 'undici'
import { startService } from '../http/service.ts'
import { isFull } from '../size.ts'
import { suite } from '../suite.ts'
import { CACHES } from './cache-programs.ts'

const t = suite()

/* What docs/nginx-cache.conf and docs/varnish.vcl store, and which clients get it. */

const CROWD = 40
const keys = { a: 'a'.repeat(40), b: 'b'.repeat(40), writer: 'w'.repeat(40), wrong: 'x'.repeat(40) }

const SCOPES = { a: 'admin', b: 'users:read', writer: 'users:write', wrong: '' }
type Key = keyof typeof keys

/** A service with keys in a file, and the requests that it has answered since the last look. */
async function startRecorded(t: Test, settings: Record<string, string>) {
  const file = join(t.testdir({}), 'keys')
  const configure = (...names: Key[]) =>
    writeFileSync(file, names.map((name) => `${name}=${SCOPES[name]}=${keys[name]}\n`).join(''), { mode: 0o600 })
  configure('a', 'b', 'writer')
  const service = await startService(t, { API_KEYS_FILE: file, ...settings })
  const answered: string[] = []
  service.app.server.on('request', ({ url }: IncomingMessage, response: ServerResponse) => {
    response.once('finish', () => answered.push(`${response.statusCode} ${url}`))
  })
  const seen = () => answered.splice(0)
  return { ...service, configure, seen }
}

async function get(url: string, key?: Key, coding = 'identity', more: Record<string, string | string[]> = {}) {
  const headers = { 'accept-encoding': coding, ...(key && { authorization: `Bearer ${keys[key]}` }), ...more }
  const { statusCode: status, headers: received, body } = await request(url, { headers })
  return { status, coding: received['content-encoding'], raw: Buffer.from(await body.arrayBuffer()) }
}

const crowd = (url: string, key?: Key, coding?: string) =>
  Promise.all(Array.from({ length: CROWD }, () => get(url, key, coding)))

for (const { name, skip, start } of CACHES) {
  t.test(name, { skip }, async (t) => {
    const service = await startRecorded(t, { SHARED_CACHE: 'on' })
    const { url } = await start(t, service.url)
    await service.sql`
      insert into users (username, email) select 'u' || n, 'u' || n || '@example.com' from generate_series(1, 500) n`
    const currentState = async () => JSON.parse(String((await get(`${service.url}/v1/states/current`, 'a')).raw)).state
    const base = await currentState()
    await service.sql`update users set role = 'changed' where id in (select id from users limit 20)`
    const state = await currentState()
    const [full, delta] = [`/v1/exports/${state}?format=ndjson`, `/v1/exports/${base}/${state}?format=ndjson`]

    await t.test('a crowd asks the service once', async (t) => {
      for (const path of [full, delta]) {
        const { raw } = await get(service.url + path, 'a')
        service.seen()
        for (const response of [...(await crowd(url + path, 'a')), ...(await crowd(url + path, 'a'))])
          if (!response.raw.equals(raw)) t.fail('another body')
        t.strictSame(service.seen(), [`200 ${path}`])
      }
      const began = performance.now()
      await crowd(`${url}/v1/states/current`, 'a')
      const halfSeconds = (performance.now() - began) / 500
      const count = service.seen().length
      t.ok(count <= 2 + halfSeconds, `${count} look-ups of the state: two in a second`)
    })

    await t.test('every coding is passed through as it is, one entry each', async (t) => {
      const plain = await get(service.url + full, 'a')
      const decoders = { zstd: zstdDecompressSync, br: brotliDecompressSync, gzip: gunzipSync }
      for (const [coding, decode] of Object.entries(decoders)) {
        service.seen()
        for (const response of await crowd(url + full, 'a', coding)) {
          if (response.coding !== coding || !decode(response.raw).equals(plain.raw)) t.fail(`${response.coding}`)
        }
        t.strictSame(service.seen(), [`200 ${full}`], coding)
      }
      const path = `${full}&shard=0/1`
      await get(url + path, 'a', 'identity', { 'accept-encoding': ['identity', 'zstd'] })
      t.equal(
        (await get(url + path, 'a')).coding,
        undefined,
        'a client whose header has two lines has an entry of its own',
      )
    })

    await t.test('a request whose key the service has not accepted finds nothing', async (t) => {
      service.seen()
      for (const path of [full, delta, '/v1/states/current']) {
        t.equal((await get(url + path, 'a')).status, 200)
        for (const [key, status] of [
          ['wrong', 401],
          [undefined, 401],
          ['writer', 403],
          ['b', 200],
        ] as const)
          for (const _ of [1, 2]) t.equal((await get(url + path, key)).status, status, `${key} ${path}`)
        const sent = service.seen().filter((line) => line.endsWith(path))
        const counts = Object.groupBy(sent, (line) => line.slice(0, 3))
        t.match({ 401: counts['401']?.length, 403: counts['403']?.length }, { 401: 4, 403: 2 }, 'errors are not stored')
      }
    })

    await t.test('logins and other routes are not stored', async (t) => {
      const paths = [
        `${full}&include=password`,
        `${delta}&include=password`,
        '/v1/users?limit=1',
        '/v1/users/export?format=ndjson',
      ]
      for (const path of paths) {
        service.seen()
        for (const _ of [1, 2]) t.equal((await get(url + path, 'a')).status, 200)
        t.strictSame(service.seen(), Array(2).fill(`200 ${path}`))
      }
    })

    await t.test('a state that is gone is looked for once', async (t) => {
      const gone = `/v1/exports/${base}?format=ndjson`
      service.seen()
      for (const { status } of await crowd(url + gone, 'a')) if (status !== 404) t.fail(`${status}`)
      t.strictSame(service.seen(), [`404 ${gone}`])
    })

    // Varnish compiles its configuration at each start, which takes a second of CPU time.
    await t.test('a key that is removed reads for a bounded time what it has read before', async (t) => {
      const { url: briefly } = isFull ? await start(t, service.url, 'briefly') : { url: undefined }
      for (const path of [full, delta]) t.equal((await get((briefly ?? url) + path, 'b')).status, 200)
      service.configure('a')
      const until = async (path: string) => {
        for (const deadline = Date.now() + 30_000; Date.now() < deadline; await sleep(50))
          if ((await get(path, 'b')).status === 401) return true
        return false
      }
      t.ok(await until(service.url + full), 'the service refuses it')
      t.equal((await get(url + full, 'b')).status, 200, 'within 100 s: the entry of the key')
      t.equal((await get(`${url}${full}&batch_id=`, 'b')).status, 401, 'an entry that the key does not have')
      t.ok(await until(`${url}/v1/states/current`), 'the current state, within a second')
      if (briefly === undefined) return
      for (const path of [full, delta]) t.ok(await until(briefly + path), 'and nothing after that time')
    })

    await t.test('a look-up with no-cache has the state of this moment', async (t) => {
      const stateIn = async (more?: Record<string, string>) =>
        JSON.parse(String((await get(`${url}/v1/states/current`, 'a', 'identity', more)).raw)).state
      const states = [await stateIn()]
      for (const _ of [1, 2, 3]) {
        await service.sql`update users set role = gen_random_uuid() where id in (select id from users limit 1)`
        states.push(await stateIn({ 'cache-control': 'no-cache' }))
        t.equal(states.at(-1), await currentState())
      }
      t.equal(new Set(states).size, 4)
    })
  })

  if (isFull)
    t.test(`${name} stores nothing of a service with keys and without SHARED_CACHE`, { skip }, async (t) => {
      const service = await startRecorded(t, {})
      const { url } = await start(t, service.url)
      const { state } = JSON.parse(String((await get(`${service.url}/v1/states/current`, 'a')).raw))
      for (const path of [`/v1/exports/${state}`, '/v1/states/current']) {
        service.seen()
        for (const _ of [1, 2]) t.equal((await get(url + path, 'a')).status, 200)
        t.strictSame(service.seen(), Array(2).fill(`200 ${path}`))
      }
    })
}
