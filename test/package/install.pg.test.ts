import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { createClient } from '../../client/index.ts'
import { temporaryFolder } from '../database/embedded-service.ts'
import { freePort } from '../faults/free-port.ts'
import { suite } from '../suite.ts'
import { install, lineOf, machineNode, pack, run, start } from './installed.ts'

const t = suite()

/*
 * The npm package, installed in an empty folder as its users do, by the machine's own Node: the server, the command, and the client while the
 * service is killed and restarted.
 */

const node = machineNode()
const skip = node ? false : 'no other Node than the project’s in PATH'
const env = { PATH: node?.path, HOME: process.env['HOME'] }

/** What a program does with the client: holds a lease and follows, until it is stopped. It prints what happens, a JSON object a line. */
const PROGRAM = `
import { createClient } from 'usersync/client'
const print = (event) => console.log(JSON.stringify(event))
const client = createClient({ url: process.env.USERSYNC_URL })
const lease = await client.leases.take({ count: 2, ttl_seconds: 600 })
lease.lost.addEventListener('abort', () => print({ lost: true }))
print({ leased: lease.users.length, node: process.version })
const stop = new AbortController()
process.on('SIGTERM', () => stop.abort())
const following = client.users.follow({ everyMs: 50, signal: stop.signal })
for await (const { kind, added } of following) print({ kind, added: added.length, held: following.users.size })
await lease.renew()
await lease.return()
print({ returned: true })
`

/** Outside of the checkout: within it, npm would install into the checkout. */
async function emptyFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'usersync-install-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

async function serve(t: Test, folder: string, port: number, dataDir: string) {
  const settings = { PORT: String(port), DATA_DIR: dataDir, LOG_FORMAT: 'json', MAX_WORKERS: '1' }
  const server = start(t, 'npx', ['--no', 'usersync', 'serve'], { cwd: folder, env: { ...env, ...settings } })
  await lineOf(server.lines, /usersync listens on/)
  return server
}

t.test('the package works where it is installed', { skip, timeout: 600_000 }, async (t) => {
  const tarball = await pack()
  const [full, small] = [await emptyFolder(t), await emptyFolder(t)]
  const fullMb = await install(tarball, full, env, [])
  const begun = performance.now()
  const smallMb = await install(tarball, small, env, ['--omit=optional'])
  const installMs = performance.now() - begun
  const dataDir = await temporaryFolder(t)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const server = await serve(t, full, port, dataDir)
  const client = createClient({ url, deadlineMs: 60_000 })
  const create = (count: number) =>
    client.batches.create({ count, config: { password_hash: { algorithm: 'bcrypt', cost: 4 } } }, { waitSeconds: 60 })

  await t.test('the server: health, a batch, an export, the page', async (t) => {
    t.match(await client.request('getHealth'), { status: 'ready', warnings: [] })
    t.match(await create(100), { status: 'completed', created_count: 100 })
    t.equal((await Array.fromAsync(client.users.export())).length, 100)
    await client.checkVersion()
    const page = await (await fetch(`${url}/ui/`)).text()
    const ofPage = [...page.matchAll(/ (?:src|href)="([^"]+)"/g)].map(([, path]) => `/ui/${path}`)
    t.ok(ofPage.length > 2)
    for (const path of [...ofPage, '/ui/vendor/preact.mjs', '/clients/k6.js', '/docs/']) {
      t.equal((await fetch(`${url}${path}`)).status, 200, path)
    }
  })

  await t.test('the command, installed without the server', async (t) => {
    const pulled = performance.now()
    await run('npx', ['--no', 'usersync', 'pull', '--url', url, '--out', 'users.csv'], { cwd: small, env })
    const seconds = [installMs, performance.now() - pulled].map((ms) => (ms / 1000).toFixed(1)).join(' + ')
    t.equal((await readFile(join(small, 'users.csv'), 'utf8')).trim().split('\n').length, 101)
    t.ok(smallMb < 12, `${smallMb.toFixed(1)} MB`)
    t.comment(
      `${node?.version.trim()}: server ${fullMb.toFixed(0)} MB, command ${smallMb.toFixed(1)} MB; seconds ${seconds}`,
    )
  })

  await t.test('the client, compiled, while the service is killed and restarted', async (t) => {
    await writeFile(join(small, 'follow.mjs'), PROGRAM)
    const program = start(t, 'node', ['follow.mjs'], { cwd: small, env: { ...env, USERSYNC_URL: url } })
    const next = async () => JSON.parse((await lineOf(program.lines, /^\{.*\}$/))[0]) as object
    t.match(await next(), { leased: 2, node: node?.version.trim() })
    t.match(await next(), { kind: 'full', added: 100, held: 100 })
    await server.signal('SIGKILL')
    const again = await serve(t, full, port, dataDir)
    await create(7)
    let held = 100
    while (held < 107) {
      const change = (await next()) as { kind: string; held: number }
      t.equal(change.kind, 'delta')
      held = change.held
    }
    await program.signal('SIGTERM')
    t.match(await next(), { returned: true }, 'the lease was kept')
    t.match(await client.leases.stats(), { leased: 0, free: 107 })
    await again.signal('SIGTERM')
  })
})
