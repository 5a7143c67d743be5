import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { connect } from '../../src/database/connection.ts'
import { startService } from '../http/service.ts'
import { startServerProcess } from '../server-process.ts'
import { isFull, sized } from '../size.ts'
import { suite } from '../suite.ts'
import { type Answer, ask, beginBatch, untilEnded, untilMoving, untilReady } from './client.ts'
import { checkExact } from './exact.ts'
import { startOwnPostgres } from './own-postgres.ts'

const t = suite()

/* PostgreSQL is killed or restarted during a batch and exports. */

const USERS = sized(6_000, 60_000)
const CHUNK = sized(100, 500)
const pg = await startOwnPostgres(t)
const settings = {
  ...{ DATABASE_URL: pg.url, ENCRYPTION_KEY: '5e'.repeat(32), MAX_WORKERS: '2', EXPORT_CACHE_MB: '0' },
  ...{ WAIT_SECONDS: '1', DRAIN_SECONDS: '20' },
}

/** Health takes less than a second, and a refusal WAIT_SECONDS. The rest is for slow machines. */
const MAX_WAIT_MS = 5_000

function checkRefused(t: Test, { status, json, retryAfter, ms }: Answer, what: string): void {
  t.match(
    { status, json, retryAfter },
    { status: 503, json: { code: 'database_unavailable' }, retryAfter: /^\d+$/ },
    what,
  )
  t.ok(ms < MAX_WAIT_MS, `${what}: after ${Math.round(ms)} ms`)
}

t.test(
  'PostgreSQL is killed during a batch: the service stays alive and stops in time, and another replica completes the batch',
  async (t) => {
    const first = await startServerProcess(t, settings)
    const id = await beginBatch(first.url, USERS, { chunk_size: CHUNK })
    await untilMoving(first.url, id)
    await pg.kill()
    for (let i = 0; i < 4; i++) {
      const [live, ready] = await Promise.all([ask(first.url, '/livez'), ask(first.url, '/readyz')])
      t.match({ live: live.status, ready: ready.status }, { live: 200, ready: 503 })
      t.ok(Math.max(live.ms, ready.ms) < MAX_WAIT_MS, `after ${Math.round(live.ms)} and ${Math.round(ready.ms)} ms`)
      await sleep(250)
    }
    checkRefused(t, await ask(first.url, '/v1/users'), 'a list of users')
    checkRefused(t, await ask(first.url, '/v1/batches', { count: 1 }), 'a new batch')
    const began = performance.now()
    t.equal(await first.end('SIGTERM'), 0, 'exit code 0')
    t.ok(performance.now() - began < 20_000, `within the drain time: ${Math.round(performance.now() - began)} ms`)

    await pg.start()
    const second = await startService(t, settings)
    await checkExact(t, pg.url, await untilEnded(second.url, id), USERS)
  },
)

/**
 * Reads the first piece of an export immediately, and the rest after `rest`. Returns its lines, or undefined if it was
 * cut.
 */
async function readExport(url: string, rest: Promise<unknown>): Promise<string[] | undefined> {
  const answer = await fetch(`${url}/v1/users/export?format=ndjson&differential=false`, {
    signal: AbortSignal.timeout(60_000),
    headers: { 'accept-encoding': 'identity' },
  })
  let text = ''
  try {
    for await (const piece of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += piece
      await rest
    }
  } catch {
    return undefined
  }
  const lines = text.trimEnd().split('\n')
  return lines.at(-1)?.startsWith('{"end":') ? lines : undefined
}

/**
 * Users of 64 MB in total. Linux buffers up to 36 MB for a client that does not read (tcp_rmem and tcp_wmem), and an
 * export of 31,000 plain users was once buffered completely before the restart.
 */
async function addHeavyUsers(): Promise<void> {
  const sql = connect({ url: pg.url, schema: 'usersync', connections: 1, name: 'test' })
  try {
    await sql`
      insert into users (username, email, custom_attributes)
      select 'heavy' || n, 'heavy' || n || '@example.com', jsonb_build_object('text', repeat('x', 64000))
      from generate_series(1, 1000) n`
  } finally {
    await sql.end({ timeout: 5 })
  }
}

// The small size cuts exports in cut-connections.pg.test.ts, and restarts PostgreSQL in leases/holders.pg.test.ts.
if (isFull)
  t.test('PostgreSQL is restarted during a batch and exports: the service recovers', async (t) => {
    const service = await startService(t, settings)
    await addHeavyUsers()
    const id = await beginBatch(service.url, USERS / 2, { chunk_size: CHUNK })
    await untilMoving(service.url, id)
    const restart = Promise.withResolvers<void>()
    const cut = [readExport(service.url, restart.promise), readExport(service.url, restart.promise)]
    await sleep(500) // they have received their first pages and wait

    const others: Answer[] = []
    let over = false
    const asking = [0, 1, 2, 3].map(async () => {
      while (!over) others.push(await ask(service.url, '/v1/users?limit=5'))
    })
    await pg.restart()
    restart.resolve()
    await untilReady(service.url)
    over = true
    await Promise.all(asking)
    for (const lines of await Promise.all(cut)) t.equal(lines, undefined, 'a cut export is recognized as cut')
    const refused = others.filter(({ status }) => status !== 200)
    t.ok(refused.length > 0, `${refused.length} of ${others.length} requests failed meanwhile`)
    for (const answer of refused) checkRefused(t, answer, 'a request meanwhile')

    await checkExact(t, pg.url, await untilEnded(service.url, id), USERS / 2)
    const whole = await readExport(service.url, Promise.resolve())
    t.match(
      JSON.parse(whole?.[0] ?? '{}'),
      { kind: 'full', total_count: (whole?.length ?? 0) - 2 },
      'exports are complete again',
    )
  })
