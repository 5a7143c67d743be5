import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { startService } from '../http/service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { ask, beginBatch, untilEnded, untilReady } from './client.ts'
import { checkExact } from './exact.ts'

const t = suite()

/*
 * Database connections are terminated at random during a batch, imports and exports. The result is the same as without.
 */

/** The minimum number of cuts. The test continues until an export and an import have succeeded. */
const CUTS = sized(8, 80)
/** Of an import. */
const ROWS = sized(100, 500)
const USERS = sized(3_000, 40_000)

t.test('no data are lost or duplicated when connections are terminated again and again', async (t) => {
  const url = await testDatabase()
  const service = await startService(t, {
    ...{ DATABASE_URL: url, ENCRYPTION_KEY: '5e'.repeat(32), MAX_WORKERS: '2', EXPORT_CACHE_MB: '0' },
  })
  const sql = connect({ url, schema: 'usersync', connections: 1, name: 'killer' })
  t.teardown(() => sql.end({ timeout: 5 }))
  const id = await beginBatch(service.url, USERS, { chunk_size: Math.max(50, Math.floor(USERS / 400)) })
  let over = false
  const outcomes = { imports: 0, refused: 0, whole: 0, cut: 0 }

  /** A confirmed import is complete; an unconfirmed one is complete or absent. */
  async function imports() {
    for (let n = 0; !over; n++) {
      const rows = Array.from({ length: ROWS }, (_, i) => JSON.stringify({ username: `import${n}_${i}@example.com` }))
      const answer = await fetch(`${service.url}/v1/users/import`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
        body: rows.join('\n'),
        signal: AbortSignal.timeout(30_000),
      })
      await answer.text()
      const [row] = await sql`select count(*)::int as count from users where username like ${`import${n}\\_%`}`
      if (answer.status === 201) {
        outcomes.imports++
        if (row?.['count'] !== ROWS) t.fail(`a confirmed import has ${row?.['count']} users`)
      } else {
        outcomes.refused++
        if (answer.status !== 503) t.fail(`an import got status ${answer.status}`)
        if (row?.['count'] !== 0 && row?.['count'] !== ROWS) t.fail(`half an import: ${row?.['count']} users`)
      }
    }
  }

  async function exports() {
    while (!over) {
      const path = '/v1/users/export?format=ndjson&differential=false'
      const answer = await fetch(service.url + path, { signal: AbortSignal.timeout(30_000) })
      const text = await answer.text().catch(() => '')
      if (answer.status !== 200) {
        if (answer.status !== 503) t.fail(`an export got status ${answer.status}`)
        continue
      }
      const lines = text.trimEnd().split('\n')
      if (!lines.at(-1)?.startsWith('{"end":')) outcomes.cut++
      else if (JSON.parse(lines[0] ?? '').total_count === lines.length - 2) outcomes.whole++
      else t.fail('a complete export lacks users')
    }
  }

  const others = [imports(), exports(), exports()]
  let cuts = 0
  const isDone = () => cuts >= CUTS && outcomes.whole > 0 && outcomes.imports > 0
  for (const deadline = Date.now() + 30_000 + CUTS * 1_000; !isDone() && Date.now() < deadline; ) {
    const found = await sql`
      select pg_terminate_backend(pid) from (
        select pid from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
          and (state = 'active' or state like 'idle in transaction%' or random() < 0.1)
        order by random() limit 1
      ) victim`
    cuts += found.length
    await sleep(Math.random() * 100)
  }
  over = true
  await Promise.all(others)
  t.ok(cuts >= CUTS, `${cuts} connections were terminated`)
  t.comment(JSON.stringify(outcomes))
  t.ok(outcomes.whole > 0 && outcomes.imports > 0, 'exports and imports succeeded meanwhile')
  await untilReady(service.url)
  t.equal((await ask(service.url, '/livez')).status, 200)
  await checkExact(t, url, await untilEnded(service.url, id), USERS)
})
