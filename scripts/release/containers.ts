// Runs the image `usersync` as the compose file and Kubernetes run it. Needs a storage of podman with the images (image.ts), and a
// network namespace of its own: `unshare --net --mount node containers.ts`. Prints a line for each thing that was seen.

import { deepEqual, equal, match, ok } from 'node:assert/strict'
import { command, PROJECT } from './check.ts'
import { createUsers, exportWithZstd, get, post, untilReady } from './container-client.ts'

const USERS = 20_000
/** The stop of the compose file: DRAIN_SECONDS and what follows (`stop_grace_period`). */
const STOP_SECONDS = 40
const [KEY, OTHER_KEY] = ['0123456789abcdef'.repeat(2), 'fedcba9876543210'.repeat(2)]
const SECRETS = {
  API_KEYS: `ci=admin=${KEY}`,
  LOAD_TESTER_API_KEYS: `ci=admin=${OTHER_KEY}`,
  ENCRYPTION_KEY: 'e1'.repeat(32),
  LOAD_TESTER_ENCRYPTION_KEY: 'e2'.repeat(32),
  POSTGRES_PASSWORD: 'abc',
  LOAD_TESTER_POSTGRES_PASSWORD: 'def',
}
const HARDENED = [
  '--read-only',
  '--read-only-tmpfs=false',
  '--cap-drop=all',
  '--security-opt=no-new-privileges',
  '--shm-size=64m',
]

const podman = async (...args: string[]) => (await command('podman', args)).trim()
/** Debian's podman-compose does not know `name` in the file. */
const compose = (...args: string[]) =>
  command('podman-compose', ['--file=docker-compose.yml', '--project-name=usersync', ...args], { env: SECRETS })
const say = (text: string) => process.stdout.write(`${text}\n`)

/** Sends SIGTERM and checks that the service ends by itself, with 0. Returns the seconds. */
async function stop(container: string): Promise<string> {
  const begin = performance.now()
  await podman('stop', `--time=${STOP_SECONDS}`, container)
  const seconds = (performance.now() - begin) / 1000
  equal(await podman('inspect', '--format={{.State.ExitCode}}', container), '0', 'exit code after SIGTERM')
  ok(seconds < STOP_SECONDS, `killed after ${seconds} s`)
  return seconds.toFixed(1)
}

/** A user id without a name, on a read-only file system, without capabilities, with the default 64 MB of /dev/shm. */
async function checkRights(): Promise<void> {
  const script =
    'id; touch /x; touch /data/x && echo data; df -k /dev/shm | tail -n 1; grep -E "CapEff|NoNewPrivs" /proc/self/status'
  const run = ['run', '--rm', '--network=none', ...HARDENED, '--user=12345', 'usersync', 'sh', '-c', `(${script}) 2>&1`]
  const seen = await podman(...run)
  for (const expected of [
    /uid=12345/,
    /\/x'?: Read-only file system/,
    /^data$/m,
    /^shm +65536 /m,
    /CapEff:\s+0+$/m,
    /NoNewPrivs:\s+1/,
  ])
    match(seen, expected)
  equal(await podman('run', '--rm', '--network=none', 'usersync', 'id', '-un'), 'node', 'the user of the image')
}

/** Each user works on a database schema of its own. */
async function checkUser(user: string): Promise<void> {
  const url = 'http://127.0.0.1:3000'
  const settings = {
    DATABASE_URL: 'postgres://usersync:abc@postgres:5432/usersync',
    DB_SCHEMA: `usersync_${user}`,
    API_KEYS: SECRETS.API_KEYS,
    ENCRYPTION_KEY: SECRETS.ENCRYPTION_KEY,
  }
  const env = Object.entries(settings).map(([name, value]) => `--env=${name}=${value}`)
  const begin = performance.now()
  const publish = ['--network=release', '--publish=127.0.0.1:3000:3000']
  await podman('run', '--detach', '--name=service', ...publish, ...HARDENED, `--user=${user}`, ...env, 'usersync')
  await untilReady(url)
  const started = ((performance.now() - begin) / 1000).toFixed(1)
  await createUsers(url, KEY, USERS)
  const { lines, bytes } = await exportWithZstd(url, KEY)
  equal(lines, USERS + 2, 'lines of the export, with the first and the last')
  await podman('healthcheck', 'run', 'service')
  const stopped = await stop('service')
  await podman('rm', '--volumes', 'service')
  say(`user ${user}: ready after ${started} s, ${USERS} users, export of ${bytes} bytes of zstd, SIGTERM ${stopped} s`)
}

/** Two replicas on one PostgreSQL, and the load testers' service, to which the first pushes. */
async function checkCompose(): Promise<void> {
  await compose('up', '--detach', '--no-build', 'usersync', 'usersync-2', 'load-tester')
  const [first, second, tester] = [3000, 3001, 3002].map((port) => `http://127.0.0.1:${port}`) as [
    string,
    string,
    string,
  ]
  for (const url of [first, second, tester]) await untilReady(url)
  const containers = ['postgres', 'load-tester-postgres', 'usersync', 'usersync-2', 'load-tester'].map(
    (name) => `usersync_${name}_1`,
  )
  for (const container of containers) await podman('healthcheck', 'run', container)

  await createUsers(first, KEY, USERS)
  const state = (await get(first, KEY, '/v1/states/current'))['state']
  deepEqual((await get(second, KEY, '/v1/states/current'))['state'], state, 'the replicas have one state')
  await post(first, KEY, '/v1/targets', { name: 'tester', url: 'http://load-tester:3000', key: OTHER_KEY })
  const { id } = await post(first, KEY, '/v1/sync', { target: 'tester' })
  for (let run: Record<string, unknown> = {}; !run['finished_at']; ) run = await get(second, KEY, `/v1/sync/runs/${id}`)
  equal((await get(tester, OTHER_KEY, '/v1/states/current'))['state'], state, 'the load tester has the same state')

  const stopped = await stop('usersync_usersync_1')
  equal((await exportWithZstd(second, KEY)).lines, USERS + 2)
  say(
    `compose: 2 replicas with ${USERS} users, pushed to the load tester; one replica stopped in ${stopped} s, the other answers`,
  )
}

process.chdir(PROJECT)
await command('ip', ['link', 'set', 'lo', 'up'])
try {
  await checkRights()
  say('rights: user node; also user id 12345, read-only, no capability, 64 MB of /dev/shm')
  await podman('network', 'create', 'release')
  const postgres = ['--env=POSTGRES_USER=usersync', '--env=POSTGRES_PASSWORD=abc', 'postgres:18']
  await podman('run', '--detach', '--name=postgres', '--network=release', ...postgres)
  // Until the database exists a service ends with exit code 1; the compose file waits for the health of the database.
  await command('sh', ['-c', 'until podman exec postgres pg_isready --host=127.0.0.1; do sleep 0.5; done'], {
    minutes: 1,
  })
  for (const user of ['12345', 'node', 'root']) await checkUser(user)
  await podman('rm', '--force', '--volumes', 'postgres')
  await checkCompose()
} catch (error) {
  for (const name of (await podman('ps', '--all', '--format={{.Names}}')).split('\n')) {
    process.stderr.write(`${name}: ${await command('sh', ['-c', `podman logs --tail 20 "$0" 2>&1`, name])}\n`)
  }
  throw error
} finally {
  await podman('rm', '--all', '--force', '--volumes')
}
