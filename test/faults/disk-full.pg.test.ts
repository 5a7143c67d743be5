import { execFile, execFileSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connect } from '../../src/database/connection.ts'
import { startService } from '../http/service.ts'
import { suite } from '../suite.ts'
import { ask, beginBatch, untilEnded, untilReady } from './client.ts'
import { checkExact } from './exact.ts'
import { startOwnPostgres } from './own-postgres.ts'

const t = suite()

/* The disk of PostgreSQL is full during a batch, and has space again later. */

t.setTimeout(180_000)

const SIZE_MB = 160
const USERS = 20_000
const run = promisify(execFile)

/** A small file system needs root. It is removed at the end of the test. */
const disk = await mkdtemp(join(tmpdir(), 'usersync-disk-'))
let skip: string | false = false
try {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE_MB}m,mode=755`, 'tmpfs', disk], { stdio: 'pipe' })
} catch {
  skip = 'cannot mount a file system here: needs root, and a container that allows it'
}
t.teardown(async () => {
  if (!skip) await run('umount', ['-l', disk])
  await rm(disk, { recursive: true, force: true })
})

t.test('a batch waits while the disk is full, and completes exactly when there is space', { skip }, async (t) => {
  const settings = { min_wal_size: '32MB', max_wal_size: '48MB', wal_keep_size: '0', autovacuum: 'off' }
  const pg = await startOwnPostgres(t, { settings, dataDir: disk })
  const service = await startService(t, {
    ...{ DATABASE_URL: pg.url, ENCRYPTION_KEY: '5e'.repeat(32), MAX_WORKERS: '2' },
  })
  const sql = connect({ url: pg.url, schema: 'usersync', connections: 1, name: 'test' })
  t.teardown(() => sql.end({ timeout: 5 }))
  const { stdout } = await run('df', ['--output=avail', '-B1', disk])
  const ballast = join(disk, 'ballast')
  await writeFile(ballast, Buffer.alloc(Number(stdout.split('\n')[1]) - 3_000_000)) // leaves 3 MB

  const id = await beginBatch(service.url, USERS, { chunk_size: 1_000 })
  const deadline = Date.now() + 20_000
  let before = -1
  let still = 0
  while (still < 20 && Date.now() < deadline) {
    const { json, status } = await ask(service.url, `/v1/batches/${id}`)
    if (status !== 200) break // PostgreSQL stops if it cannot write its WAL
    still = json.created_count === before ? still + 1 : 0
    before = json.created_count
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.ok(before < USERS, `it stops at ${before} users`)
  const live = await ask(service.url, '/livez')
  t.ok(live.status === 200 && live.ms < 5_000)
  const made = await ask(service.url, '/v1/batches', { count: 20_000 })
  t.ok([202, 503].includes(made.status), `another batch is accepted or rejected: ${made.status}`)

  await rm(ballast)
  if ((await ask(service.url, '/readyz')).status !== 200) {
    await pg.start().catch(() => {}) // PostgreSQL may have stopped; then the operator starts it
  }
  await untilReady(service.url)
  await checkExact(t, pg.url, await untilEnded(service.url, id), USERS)
})
