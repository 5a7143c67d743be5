import { deepEqual, equal, ok } from 'node:assert/strict'
import { copyFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { launcherOf, run } from './command.ts'
import type { Place } from './keep-in-step.ts'
import { type Shop, startShop } from './shop.ts'
import { call } from './users.ts'

/** An example that leases accounts and logs in with them. */
export interface LeaseExample {
  tool: string
  /** Its files, which are copied into the folder of the check. */
  files: string[]
  /** The client that it uses, as the service serves it. */
  client?: string
  args(urls: { service: string; shop: Shop }): string[]
  /** Accounts of the pool. Each is used. */
  accounts: number
  /** Logins that the example makes, if it ends by itself. */
  logins?: number
  /** Resolves when the tool may be stopped, if it does not end by itself. */
  enough?(shop: Shop): Promise<void>
}

const example = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))

/** 50 simulated users and 50 accounts: each keeps its own. */
export const LOCUST_LEASES: LeaseExample = {
  tool: 'locust',
  files: ['locust/leases.py'],
  client: 'usersync.py',
  args: ({ shop }) => {
    const load = ['--headless', '--users', '50', '--spawn-rate', '50', '--run-time', '90s']
    return ['--locustfile', 'leases.py', ...load, '--host', shop.url]
  },
  accounts: 50,
  enough: (shop) => shop.sees(50, 200),
}

/** As many accounts as threads, which take turns with them. */
export const JMETER_STS: LeaseExample = {
  tool: 'jmeter',
  files: ['jmeter/sts.jmx'],
  args: ({ service, shop }) => {
    const { hostname, port } = new URL(service)
    const hosts = [`-Jsts_host=${hostname}`, `-Jsts_port=${port}`, '-Jhost=127.0.0.1', `-Jport=${shop.port}`]
    return ['-n', '-t', 'sts.jmx', '-l', 'results.jtl', '-j', 'jmeter.log', ...hosts, '-Jthreads=10', '-Jloops=5']
  },
  accounts: 10,
  logins: 50,
}

export const ARTILLERY_LEASES: LeaseExample = {
  tool: 'artillery',
  files: ['artillery/leases.yml', 'artillery/leases.mjs'],
  args: ({ shop }) => ['run', '--target', shop.url, 'leases.yml'],
  accounts: 5,
  logins: 50,
}

const POOL = 'accounts'
const PASSWORD = 'TestPass123!'

/**
 * Runs an example against a shop that refuses a second session of an account. Returns the reason if it cannot run at all. Throws if an
 * account was in two hands, a login failed, or an account is not back at the end.
 */
export async function checkLeases(
  { tool, files, client, args, accounts, logins, enough }: LeaseExample,
  service: string,
  { folder, signal }: Place,
): Promise<string | undefined> {
  const launcher = await launcherOf(tool)
  if (!launcher) return 'not installed'
  const [program = '', ...first] = launcher
  const shop = await startShop(await makeAccounts(service, accounts), PASSWORD)
  try {
    for (const file of files) await copyFile(example(file), join(folder, basename(file)))
    if (client) await writeFile(join(folder, client), await (await call('GET', `${service}/clients/${client}`)).text())
    const { code, output, errors } = await run(program, [...first, ...args({ service, shop })], {
      cwd: folder,
      env: { USERSYNC_URL: service, USERSYNC_POOL: POOL, ARTILLERY_DISABLE_TELEMETRY: 'true' },
      signal,
      ...(enough && { enough: enough(shop) }),
    })
    const said = `${tool} exited with ${code}\n${output}${errors}`
    equal(code, 0, said)
    requireOneHand(shop, accounts, said)
    if (logins !== undefined) equal(sum(shop.seen.logins), logins, `logins\n${said}`)
    deepEqual(await countAccounts(service), { free: accounts, leased: 0 }, `every account is back\n${said}`)
    return undefined
  } finally {
    await shop.close()
  }
}

const sum = (counts: Map<string, number>) => [...counts.values()].reduce((all, count) => all + count, 0)

function requireOneHand({ seen }: Shop, accounts: number, said: string): void {
  const { refused, failed, logins, pages } = seen
  deepEqual({ refused, failed }, { refused: 0, failed: 0 }, `no login was refused\n${said}`)
  equal(logins.size, accounts, `every account was used\n${said}`)
  ok(pages >= accounts, `each session saw a page\n${said}`)
}

/** Creates the pool with this many accounts, in place of an earlier one. Returns their names. */
async function makeAccounts(service: string, count: number): Promise<Set<string>> {
  await fetch(`${service}/v1/pools/${POOL}`, { method: 'DELETE' })
  await call('POST', `${service}/v1/pools`, { name: POOL })
  await call('POST', `${service}/v1/batches`, { pool: POOL, count, config: { password: PASSWORD } })
  const users = (await (await call('GET', `${service}/v1/users/export?format=json&pool=${POOL}`)).json()) as {
    users: { username: string }[]
  }
  return new Set(users.users.map(({ username }) => username))
}

async function countAccounts(service: string): Promise<{ free: number; leased: number }> {
  const answer = await call('GET', `${service}/v1/leases/stats?pool=${POOL}`)
  const { free, leased } = (await answer.json()) as { free: number; leased: number }
  return { free, leased }
}
