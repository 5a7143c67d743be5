import { readFile } from 'node:fs/promises'
import { run } from '../../examples/check/command.ts'
import { startShop } from '../../examples/check/shop.ts'
import { suite } from '../suite.ts'
import { leaseService, makePool } from './pool.ts'

const t = suite()

/* The clients that the service serves: they are fetched from it, and used against it. */

const service = await leaseService(t)
const { url, call } = service
const CLIENTS = { 'k6.js': 'text/javascript; charset=utf-8', 'usersync.py': 'text/x-python; charset=utf-8' }
const fileOf = (name: string) => new URL(`../../src/leases/clients/${name}`, import.meta.url)

const stats = async (pool: string) => (await call<Record<string, number>>('GET', `/v1/leases/stats?pool=${pool}`)).json

t.test('each client is served as it is, with its type, and 304 to who has it', async (t) => {
  for (const [name, type] of Object.entries(CLIENTS)) {
    const { status, headers, raw } = await call('GET', `/clients/${name}`)
    t.match({ status, headers }, { status: 200, headers: { 'content-type': type, 'cache-control': 'no-cache' } })
    t.equal(raw.toString(), await readFile(fileOf(name), 'utf8'))
    const { etag = '' } = headers
    const again = await call('GET', `/clients/${name}`, { headers: { 'if-none-match': `"x", ${etag}` } })
    t.match([again.status, again.headers.etag, again.raw.length], [304, etag, 0])
    t.equal((await call('GET', `/clients/${name}`, { headers: { 'if-none-match': 'W/"x"' } })).status, 200)
  }
  t.equal((await call('GET', '/clients/routes.ts')).status, 404)
})

/** k6's modules, with synchronous requests and cookies as k6 has. A worker sends the requests, because Node's own are asynchronous. */
const STAND_IN = `
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
const SENDER = \`
  const { workerData: { port, isDone } } = require('node:worker_threads')
  port.on('message', async ([method, url, body, headers]) => {
    const answer = await fetch(url, { method, body: body ?? undefined, headers, redirect: 'manual' })
    const found = { 'Retry-After': answer.headers.get('retry-after') }
    const cookies = answer.headers.getSetCookie().map((cookie) => cookie.split(';')[0])
    port.postMessage({ status: answer.status, headers: found, cookies, body: await answer.text() })
    Atomics.store(isDone, 0, 1)
    Atomics.notify(isDone, 0)
  })\`
const isDone = new Int32Array(new SharedArrayBuffer(4))
const { port1, port2 } = new MessageChannel()
new Worker(SENDER, { eval: true, workerData: { port: port2, isDone }, transferList: [port2] }).unref()
function send(...request) {
  port1.postMessage(request)
  Atomics.wait(isDone, 0, 0)
  Atomics.store(isDone, 0, 0)
  return receiveMessageOnPort(port1).message
}
export const seen = { requests: [], pauses: [], isLost: false, checks: [] }
const jar = new Map()
const http = {
  request(method, url, body, { headers = {}, redirects } = {}) {
    seen.requests.push({ url, key: headers.Authorization, redirects })
    const isForm = typeof body === 'object' && body !== null
    const type = isForm && { 'content-type': 'application/x-www-form-urlencoded' }
    const answer = send(method, url, isForm ? String(new URLSearchParams(body)) : body, {
      ...type,
      cookie: [...jar.values()].join('; '),
      ...headers,
    })
    for (const cookie of answer.cookies) jar.set(cookie.split('=')[0], cookie)
    const { isLost } = seen
    seen.isLost = false
    return isLost ? { status: 0, headers: {}, body: null, error: 'connection reset' } : answer
  },
  get: (url, params) => http.request('GET', url, null, params),
  post: (url, body, params) => http.request('POST', url, body ?? null, params),
}
export default http
export const sleep = (seconds) => seen.pauses.push(seconds)
export const check = (value, conditions) => seen.checks.push(...Object.values(conditions).map((holds) => holds(value)))
`

const K6_SCRIPT = `
import { seen } from './stand-in.mjs'
Object.assign(globalThis, { __VU: 7, __ENV: process.env })
const { lease, renew, release, users } = await import('./k6.mjs')
const say = (...what) => console.log(JSON.stringify(what))
seen.isLost = true
const mine = lease({ ttl_seconds: 600 })
const isRight = ({ key, redirects }) => key === 'Bearer secret' && redirects === 0
say('repeated', seen.requests.length, seen.pauses.length, seen.requests.every(isRight))
say('not due', renew(mine), seen.requests.length)
mine.renewed_at -= 201_000
say('due', renew(mine), seen.requests.length)
mine.renewed_at += 3_600_000
say('clock set back', renew(mine), seen.requests.length)
say('released', release(mine), release(mine))
mine.renewed_at -= 201_000
say('lost', renew(mine))
say('users', users().map(({ username }) => username).sort())
try {
  lease({ count: 3, wait_seconds: 0 })
} catch (error) {
  say(error.code, error.message)
}
lease({ include: ['password'] })
`

t.test('k6.js leases, renews and releases users, with a stand-in for the modules of k6', async (t) => {
  const pool = await makePool(service, 2)
  const client = (await call('GET', '/clients/k6.js')).raw.toString()
  const folder = t.testdir({
    'stand-in.mjs': STAND_IN,
    'k6.mjs': client.replaceAll(/from 'k6(\/http)?'/g, "from './stand-in.mjs'"),
    'script.mjs': K6_SCRIPT,
  })
  const { code, output, errors } = await run(process.execPath, ['script.mjs'], {
    cwd: folder,
    env: { USERSYNC_URL: `${url}/`, USERSYNC_POOL: pool, USERSYNC_KEY: 'secret' },
    signal: AbortSignal.timeout(60_000),
  })
  t.strictSame([code, errors], [0, ''])
  const exhausted =
    'usersync lease: Not enough users are free. 2 of the 3 requested users are free. Wait with wait_seconds, take fewer with partial, or reset used users.'
  t.strictSame(
    output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
    [
      ['repeated', 2, 1, true],
      ['not due', true, 2],
      ['due', true, 3],
      ['clock set back', true, 4],
      ['released', true, true],
      ['lost', false],
      ['users', ['u1', 'u2']],
      ['users_exhausted', exhausted],
    ],
  )
  t.match(await stats(pool), { free: 1, leased: 1 }, 'a request that was repeated got one lease')
})

t.test('the example for k6 logs in with a leased account, with a stand-in for the modules of k6', async (t) => {
  const shop = await startShop(new Set(['chosen_1', 'chosen_2']), 'TestPass123!')
  t.teardown(() => shop.close())
  const config = { password: 'TestPass123!', username_pattern: 'chosen_{id}' }
  await call('POST', '/v1/batches', { body: { count: 2, config }, headers: { prefer: 'wait=30' } })
  const local = (text: string) =>
    text.replaceAll(/from 'k6(\/http)?'/g, "from './stand-in.mjs'").replace('./k6.js', './k6.mjs')
  const folder = t.testdir({
    'stand-in.mjs': STAND_IN,
    'k6.mjs': local((await call('GET', '/clients/k6.js')).raw.toString()),
    'leases.mjs': local(await readFile(new URL('../../examples/k6/leases.js', import.meta.url), 'utf8')),
    'script.mjs': `
      import { seen } from './stand-in.mjs'
      Object.assign(globalThis, { __VU: 7, __ENV: process.env })
      const { default: iteration } = await import('./leases.mjs')
      iteration()
      iteration()
      console.log(JSON.stringify(seen.checks))`,
  })
  const { code, output, errors } = await run(process.execPath, ['script.mjs'], {
    cwd: folder,
    env: { USERSYNC_URL: url, TARGET: shop.url },
    signal: AbortSignal.timeout(60_000),
  })
  t.strictSame([code, errors, output], [0, '', '[true,true]\n'])
  t.match(shop.seen, {
    refused: 0,
    failed: 0,
    pages: 2,
    logins: new Map([
      ['chosen_1', 1],
      ['chosen_2', 1],
    ]),
  })
  t.match(await stats('default'), { free: 2, leased: 0 })
})
