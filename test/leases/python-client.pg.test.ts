import { readFile } from 'node:fs/promises'
import { isInstalled, run } from '../../examples/check/command.ts'
import { fakeService } from '../pull/fake-service.ts'
import { suite } from '../suite.ts'
import { leaseService, makePool } from './pool.ts'

const t = suite()

/* /clients/usersync.py, against the service, and behind a proxy that answers in its place. */

const service = await leaseService(t)
const { url, call } = service
const CLIENT = new URL('../../src/leases/clients/usersync.py', import.meta.url)

const stats = async (pool: string) => (await call<Record<string, number>>('GET', `/v1/leases/stats?pool=${pool}`)).json

const USE = `
import sys, time
from usersync import LeaseLost, UserPool, UsersExhausted, UsersyncError
pool = UserPool()
with pool.take(ttl=12, wait=0) as lease:
    begun = lease._renewed
    while lease._renewed == begun:
        time.sleep(0.02)
    print("renewed", lease.user["username"][0])
print("returned", len(pool.users()))
short = pool.take(ttl=3, wait=0, deadline=0.1)
try:
    while short.user:
        time.sleep(0.02)
except LeaseLost:
    print("ends after its deadline")
short.release()
lost = pool.take(ttl=60, wait=0)
lost.fence += 1
try:
    lost.renew()
except LeaseLost as error:
    print(error.code)
try:
    lost.user
except LeaseLost:
    print("not used any more")
try:
    pool.take(count=3, wait=0)
except UsersExhausted as error:
    print(error.code)
try:
    pool.take(count=0)
except UsersyncError as error:
    print(error.code, error)
pool.take(wait=0).release("dirty")
pool.close()
`

/** Loads nothing: requests takes 0.3 s. */
const FIND_REQUESTS = 'import sys, importlib.util as u; sys.exit(u.find_spec("requests") is None)'

const noRequests = (await isInstalled('python3'))
  ? (await run('python3', ['-c', FIND_REQUESTS], { cwd: '/', signal: AbortSignal.timeout(30_000) })).code !== 0
  : true

t.test(
  'usersync.py leases, renews and releases users',
  { skip: noRequests && 'python3-requests is not here' },
  async (t) => {
    const pool = await makePool(service, 2)
    const folder = t.testdir({
      'use.py': USE,
      'usersync.py': (await call('GET', '/clients/usersync.py')).raw.toString(),
    })
    const { code, output, errors } = await run('python3', ['use.py'], {
      cwd: folder,
      env: { USERSYNC_URL: url, USERSYNC_POOL: pool },
      signal: AbortSignal.timeout(60_000),
    })
    t.strictSame([code, errors], [0, ''])
    t.strictSame(output.split('\n'), [
      'renewed u',
      'returned 2',
      'ends after its deadline',
      'lease_lost',
      'not used any more',
      'users_exhausted',
      'invalid_request The request has missing, unknown or invalid members. body.count must be a whole number from 1 to 10000',
      '',
    ])
    t.match(await stats(pool), { free: 0, leased: 1, dirty: 1 })
  },
)

const USE_BADLY = `
import usersync
from usersync import UserPool, UsersyncError
usersync.MAX_PAUSE_SECONDS = 0
pool = UserPool()
lease = pool.take(ttl=60, wait=0)
begun = lease._renewed = lease._renewed - 20
pool._wakes.set()
while lease._renewed == begun and pool._renewer.is_alive():
    pool._renewer.join(0.02)
print("renews:", pool._renewer.is_alive())
try:
    lease.release("dirty")
except UsersyncError as error:
    print(error)
lease.release("dirty")
lease.release("dirty")
try:
    pool.take(wait=0)
except UsersyncError as error:
    print(error)
pool.take(wait=0)
pool.take(wait=0)
try:
    pool.close()
except UsersyncError as error:
    print(error)
`

t.test(
  'usersync.py goes on whatever a proxy answers',
  { skip: noRequests && 'python3-requests is not here' },
  async (t) => {
    const granted: Answer = [201, JSON.stringify({ id: 'x', fence: 1, users: [{ username: 'u' }] })]
    const busy: Answer = [503, '"busy"', { 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT' }]
    const answers: Record<string, Answer[]> = {
      'POST /v1/leases': [granted, [302, '', { location: '/v1/leases' }], granted, granted],
      'POST /v1/leases/x/renew': [busy, [200, '<html>'], [200, '{"id":"x"}']],
      'POST /v1/leases/x/return': [busy, busy, busy, busy, busy, [200, '{"id":"x"}']],
    }
    const requests: string[] = []
    const proxy = await fakeService(t, ({ method, url = '' }, response) => {
      const request = `${method} ${url.replace(/\?.*/, '')}`
      requests.push(request)
      const [status, body, headers] = answers[request]?.shift() ?? [500, '']
      response.writeHead(status, headers).end(body)
    })
    const folder = t.testdir({ 'use.py': USE_BADLY, 'usersync.py': await readFile(CLIENT, 'utf8') })
    const { code, output, errors } = await run('python3', ['use.py'], {
      cwd: folder,
      env: { USERSYNC_URL: proxy },
      signal: AbortSignal.timeout(60_000),
    })
    t.strictSame([code, errors], [0, ''])
    const unknown = 'This does not come from usersync: check USERSYNC_URL and proxies.'
    t.strictSame(output.trim().split('\n'), [
      'renews: True',
      `HTTP 503. ${unknown}`,
      `HTTP 302. ${unknown}`,
      `HTTP 500. ${unknown}`,
    ])
    const returns = requests.filter((request) => request.endsWith('/return'))
    t.equal(
      returns.length,
      6 + 2 * 5,
      'a return that failed is sent again, one that succeeded is not; close tries each lease',
    )
    t.notMatch(requests.join(), /GET/, 'no redirect is followed')
  },
)

type Answer = [status: number, body: string, headers?: Record<string, string>]
