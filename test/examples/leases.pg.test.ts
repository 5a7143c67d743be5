import { readdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { run } from '../../examples/check/command.ts'
import { checkLeases, JMETER_STS, type LeaseExample, LOCUST_LEASES } from '../../examples/check/leases.ts'
import { startService } from '../http/service.ts'
import { makePool } from '../leases/pool.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/*
 * The examples that lease accounts log in to a system under test that refuses a second session of an account. Load generators take
 * seconds to start, so they run at full size only.
 */

const service = await startService(t, { MAX_WORKERS: '1' })
const { url } = service
const place = (t: Test) => ({ folder: t.testdir(), signal: AbortSignal.timeout(300_000) })

async function check(t: Test, example: LeaseExample): Promise<void> {
  const obstacle = await checkLeases(example, url, place(t))
  if (obstacle) t.comment(`${example.tool}: ${obstacle}`)
  else t.pass(`${example.tool} used each account in one hand at a time`)
}

/** Not by /v1/leases/stats, which answers an earlier count for a while if counting took long. */
async function leasedIn(pool: string): Promise<number | undefined> {
  const [row] = await service.sql<{ count: number }[]>`
    select count(*)::int as count from usersync.lease_users l join usersync.pools p on p.id = l.pool_id
    where p.name = ${pool} and l.status = 'leased'`
  return row?.count
}

t.test('lease.sh keeps accounts for the command that it runs', async (t) => {
  const pool = await makePool(service, 3)
  const env = { USERSYNC_URL: url, USERSYNC_POOL: pool, TTL: '60', WAIT: '0' }
  const folder = t.testdir()
  const lease = (...args: string[]) =>
    run('sh', [fileURLToPath(new URL('../../examples/gatling/lease.sh', import.meta.url)), ...args], {
      cwd: folder,
      env,
      signal: AbortSignal.timeout(60_000),
    })
  const show = `cat accounts.json; curl --silent '${url}/v1/leases/stats?pool=${pool}'; exit 7`
  const { code, output, errors } = await lease('2', 'sh', '-c', show)
  t.match([code, errors], [7, ''], 'the exit code is that of the command')
  const [, users = '', inUse = ''] = /^(\[.*\])\n?(\{.*\})$/s.exec(output) ?? []
  t.match(JSON.parse(users), [{ username: /^u\d$/, password: null }, { username: /^u\d$/ }])
  t.match(JSON.parse(inUse), { free: 1, leased: 2 })
  t.equal(await leasedIn(pool), 0)
  t.strictSame(await readdir(folder), [], 'no account is left on the disk')
  const tooMany = await lease('4', 'sh', '-c', 'exit 0')
  t.match(tooMany, { code: 1, errors: /users_exhausted/ })
  Object.assign(env, { TTL: '3' })
  t.match(await lease('2', 'sh', '-c', 'kill -9 $PPID'), { code: null })
  while (await leasedIn(pool)) await sleep(100)
  t.pass('accounts come back after a kill')
})

t.test('the fixture for Playwright keeps an account for a worker', async (t) => {
  const pool = await makePool(service, 1)
  Object.assign(process.env, { USERSYNC_URL: url, USERSYNC_POOL: pool })
  t.teardown(() => {
    for (const name of ['USERSYNC_URL', 'USERSYNC_POOL']) delete process.env[name]
  })
  const path = new URL('../../examples/playwright/account.mjs', import.meta.url).href
  const { account } = (await import(path)) as {
    account: (none: object, use: (user: object) => unknown) => Promise<void>
  }
  await account({}, async (user) => {
    t.match(user, { username: 'u1', password: null })
    t.equal(await leasedIn(pool), 1)
  })
  t.equal(await leasedIn(pool), 0)
})

const skip = sized<string | false>('runs at SIZE=full', false)

t.test('50 users of Locust never have one account twice', { skip }, (t) => check(t, LOCUST_LEASES))

t.test('a script for the Simple Table Server runs with another host', { skip }, async (t) => {
  await check(t, JMETER_STS)
})
