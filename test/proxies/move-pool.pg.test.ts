import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Sql } from 'postgres'
import type { Test } from 'tap'
import type { Batch } from '../../src/batches/batches.ts'
import { ANY_BATCH } from '../../src/states/filter.ts'
import { CHILD_ENV } from '../child-env.ts'
import type { Service } from '../http/service.ts'
import { sized } from '../size.ts'
import { createClient } from '../standbys/client.ts'
import { suite } from '../suite.ts'
import { startDeployments } from './deployments.ts'
import { type Nginx, NO_NJS } from './nginx.ts'

const t = suite()

/*
 * The steps of docs/deployments.md move a pool from one deployment to another one, word for word, while clients follow it and writers
 * change it through nginx. The versions of both deployments are the judge.
 */

const ROOT = resolve(import.meta.dirname, '../..')
const CLIENTS = sized(10, 50)
const WRITERS = 3
const USERS = sized(500, 5_000)
const KEY = 'k'.repeat(40)
const WITH_KEY = { authorization: `Bearer ${KEY}` }
const CHEAP = { algorithm: 'argon2id', memory_kib: 8, iterations: 1 }
const WAIT_MS = 120_000

/** The shell blocks under "Move a pool", without the variables at the beginning. */
async function readSteps(): Promise<string[]> {
  const page = await readFile(join(ROOT, 'docs/deployments.md'), 'utf8')
  const [, section = ''] = page.split('## Move a pool')
  return [...section.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block = '']) => block).slice(1)
}

/** A shell in which the steps run, with the variables of the page and these programs. */
function openShell(t: Test, nginx: Nginx, variables: Record<string, string>) {
  const shell = spawn('bash', ['-s'], { env: { ...CHILD_ENV, USERSYNC_KEY: KEY }, stdio: ['pipe', 'pipe', 'pipe'] })
  t.teardown(() => void shell.kill())
  let output = ''
  const keep = (text: Buffer) => {
    output += text
  }
  shell.stdout.on('data', keep)
  shell.stderr.on('data', keep)
  shell.stdin.write(`set -euo pipefail
    cd ${ROOT}
    ${Object.entries(variables)
      .map(([name, value]) => `${name}='${value}'`)
      .join('\n')}
    MAP=${join(nginx.folder, 'usersync-pools.map')} NGINX_PID=${join(nginx.folder, 'nginx.pid')}
    nginx() { ${nginx.command.join(' ')} "$@"; }
    usersync() { ${process.execPath} ${join(ROOT, 'cli/usersync.ts')} "$@"; }\n`)
  const ended = once(shell, 'exit')
  return async (step: string): Promise<string> => {
    const from = output.length
    shell.stdin.write(`${step}\necho ended-step\n`)
    const isOver = ended.then(() => {
      throw new Error(`the step failed: ${step}\n${output.slice(from)}`)
    })
    await Promise.race([isOver, until(() => output.slice(from).includes('ended-step\n'))])
    return output.slice(from)
  }
}

async function until(holds: () => boolean): Promise<void> {
  for (const deadline = Date.now() + WAIT_MS; !holds(); await sleep(20, undefined, { ref: false }))
    if (Date.now() > deadline) throw new Error(`waited too long for ${holds}`)
}

/** The states of all test users of the pool, in the order of versions. */
async function statesOf(sql: Sql): Promise<string[]> {
  const rows = await sql<{ state: string }[]>`
    select state from states join pools p on p.id = pool_id
    where p.name = 'shop' and batch_id = ${ANY_BATCH} and test_users_only and not bulk_users_only order by version`
  return rows.map(({ state }) => state)
}

type Caller = Service['call']

/**
 * Sends requests with the key, again while the service is overloaded, or if the connection is closed: a process of nginx that ends closes
 * also connections on which a request is on its way.
 */
const callThrough =
  (url: string): Caller =>
  async (method, path, { headers, body } = {}) => {
    const json = typeof body === 'object' && { 'content-type': 'application/json' }
    const sent = { method, body: JSON.stringify(body), headers: { ...json, ...headers, ...WITH_KEY } }
    for (const deadline = Date.now() + WAIT_MS; ; await sleep(50)) {
      const answer = await fetch(url + path, sent).catch((error) => {
        if (Date.now() > deadline) throw error
      })
      if (!answer || (answer.status === 503 && Date.now() < deadline)) continue
      const raw = Buffer.from(await answer.arrayBuffer())
      const isObject = raw.length > 0 && !raw.includes('\n')
      return { status: answer.status, headers: {}, raw, json: isObject ? JSON.parse(raw.toString()) : undefined }
    }
  }

/** The logins of all users by id. */
async function loginsThrough(call: Caller): Promise<Record<string, string[]>> {
  const include = 'include=password,password_hash,totp_secret'
  const { raw } = await call('GET', `/v1/users/export?pool=shop&format=ndjson&differential=false&${include}`)
  const users = raw
    .toString()
    .split('\n')
    .slice(1, -2)
    .map((line) => JSON.parse(line))
  return Object.fromEntries(users.map((user) => [user.id, [user.password, user.password_hash, user.totp_secret]]))
}

t.test('a pool moves while clients follow it', { skip: NO_NJS }, async (t) => {
  const { first, second, nginx } = await startDeployments(t, '# none yet\n', { API_KEYS: `ops=admin=${KEY}` })
  const call = callThrough(nginx.url)
  await call('POST', '/v1/pools', { body: { name: 'shop' } })
  const make = (body: object) =>
    call<Batch>('POST', '/v1/batches', { body: { pool: 'shop', ...body }, headers: { prefer: 'wait=60' } })
  await make({ count: USERS, config: { password_hash: { algorithm: 'none' } } })
  const config = { password_mode: 'per_user', password_hash: { ...CHEAP, distinct: 3 }, totp: true }
  const { id: withLogins } = (await make({ count: 20, config, expires_in: 86_400 })).json
  const ids = (await first.sql<{ id: string }[]>`select id from users where pool_id <> 1`).map(({ id }) => id)
  t.equal(ids.length, USERS + 20)
  const logins = await loginsThrough(call)

  let [isOver, written, refused] = [false, 0, 0]
  const wrong: string[] = []
  const write = async () => {
    while (!isOver) {
      const id = ids[Math.floor(Math.random() * ids.length)]
      const body = { role: `role ${Math.random()}` }
      const { status, json } = await call<{ code?: string }>('PATCH', `/v1/users/${id}?pool=shop`, { body })
      if (status === 200) written++
      else if (json?.code === 'pool_is_replica') refused++
      else wrong.push(`${status} ${json?.code}`)
      await sleep(20)
    }
  }
  const followers = Array.from({ length: CLIENTS }, () => ({
    client: createClient({ call }, '&pool=shop'),
    seen: [] as { state: string; kind: string }[],
  }))
  const follow = async ({ client, seen }: (typeof followers)[number]) => {
    const head = await client.follow()
    seen.push({ state: client.held().state ?? '', kind: head?.kind ?? '304' })
  }
  const work = [
    ...Array.from({ length: WRITERS }, write),
    ...followers.map(async (follower) => {
      while (!isOver) {
        await follow(follower)
        await sleep(400 * Math.random())
      }
    }),
  ]
  const failed = Promise.all(work).then(() => undefined)
  const goOn = async (writes: number) => {
    const goal = written + writes
    await Promise.race([failed, until(() => written >= goal)])
  }

  const [copy = '', stop = '', push = '', lead = '', release = '', remove = '', ...others] = await readSteps()
  t.strictSame(others, [])
  const run = openShell(t, nginx, {
    ...{ POOL: 'shop', FIRST: first.url, SECOND: second.url },
    ...{ FIRST_DATABASE: first.databaseUrl, SECOND_DATABASE: second.databaseUrl },
  })
  await goOn(10)
  const old = createClient({ call }, '&pool=shop')
  await old.follow()
  await goOn(10)
  t.match(await run(copy), 'succeeded')
  await goOn(10)
  t.match(await run(stop), '"leased":0')
  t.match(await run(push), /in_step +true/)
  const [moved = ''] = (await statesOf(first.sql)).slice(-1)
  await Promise.race([failed, until(() => followers.every(({ client }) => client.held().state === moved))])
  const before = followers.map(({ seen }) => seen.length)
  await run(lead)
  await Promise.race([failed, until(() => refused > 0)])
  t.equal((await statesOf(second.sql)).at(-1), moved, 'no write before the release')
  await run(release)
  await goOn(20)
  const history = await statesOf(first.sql)
  await run(remove)
  await goOn(10)
  isOver = true
  await failed
  t.strictSame(wrong, [], `${written} changes, ${refused} refused while the pool moved`)

  await Promise.all(followers.map(follow))
  const later = await statesOf(second.sql)
  const order = [...history, ...later.slice(later.lastIndexOf(moved) + 1)]
  const positions = new Map(order.map((state, n) => [state, n]))
  t.equal(positions.size, order.length, `${order.length} different states`)
  for (const [n, { seen }] of followers.entries()) {
    const versions = seen.map(({ state }) => positions.get(state) ?? -1)
    const isForward = versions.every((version, i) => version >= (versions[i - 1] ?? 0))
    t.ok(isForward, `client ${n} sees states of the pool, and never an older one: ${versions}`)
    t.equal(seen.at(-1)?.state, later.at(-1), 'the current state at the end')
    t.notOk(
      seen.slice(before[n]).some(({ kind }) => kind === 'full'),
      'a client with the current state gets no full export',
    )
  }
  t.match(
    [(await old.follow())?.kind, (await old.follow())?.kind],
    ['full', undefined],
    'an older state: one full export',
  )
  t.strictSame(await loginsThrough(call), logins, 'every user has its password, hash and second factor')
  t.match((await call<Batch>('GET', `/v1/batches/${withLogins}?pool=shop`)).json, {
    created_count: 20,
    expires_at: /^2/,
  })
  t.match((await make({ count: 5 })).json, { created_count: 5, failed_count: 0 }, 'new users get new numbers')
  t.match((await call('DELETE', `/v1/batches/${withLogins}?pool=shop`)).json, { deleted_count: 20 })
  t.equal((await first.call('GET', '/v1/states/current?pool=shop', { headers: WITH_KEY })).status, 404)
})
