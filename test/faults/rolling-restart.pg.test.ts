import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../../src/batches/batches.ts'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { stateFromScratch } from '../export/observe.ts'
import { NO_NGINX, startNginx } from '../proxies/nginx.ts'
import { type ServerProcess, startServerProcess } from '../server-process.ts'
import { isFull } from '../size.ts'
import { suite } from '../suite.ts'
import { ask, beginBatch, untilEnded, untilMoving, untilReady } from './client.ts'
import { checkExact } from './exact.ts'
import { freePort } from './free-port.ts'
import { startSteadyLoad } from './steady-load.ts'

const t = suite()

/* Two replicas behind nginx, configured by docs/nginx.conf. They are restarted one after the other while in use. */

/** Runs during the restarts. Small chunks and one thread per process make it slow. */
const LARGE = 40_000
const SLOWLY = { chunk_size: 200, max_workers: 1, password_hash: { algorithm: 'none' } }

/** Longer than `keepalive_timeout` in docs/nginx.conf, as that file requires. */
const DRAIN_DELAY_SECONDS = 3

/** Stops the replica. Returns its exit code and the responses of `/readyz` meanwhile, each on a new connection. */
async function endWatched(replica: ServerProcess): Promise<{ code: number | string; responses: Set<string> }> {
  const responses = new Set<string>()
  let ended = false
  const end = replica.end('SIGTERM').finally(() => {
    ended = true
  })
  while (!ended) {
    const response = await fetch(`${replica.url}/readyz`, { headers: { connection: 'close' } }).then(
      (answer) => answer.text(),
      () => 'closed',
    )
    responses.add(response)
    await sleep(50)
  }
  return { code: await end, responses }
}

// The small size has interrupted-batch.pg.test.ts and http/graceful-close.test.ts.
if (isFull)
  t.test('a rolling restart fails no request, and loses or repeats no job', { skip: NO_NGINX }, async (t) => {
    const url = await testDatabase()
    const ports: [number, number] = [await freePort(), await freePort()]
    const start = (port: number) =>
      startServerProcess(t, {
        DATABASE_URL: url,
        ENCRYPTION_KEY: '5e'.repeat(32),
        MAX_WORKERS: '2',
        PORT: String(port),
        DRAIN_DELAY_SECONDS: String(DRAIN_DELAY_SECONDS),
      })
    const replicas = await Promise.all(ports.map(start))
    const nginx = await startNginx(t, {
      file: 'nginx.conf',
      replace: { '127.0.0.1:3000 ': `127.0.0.1:${ports[0]} `, '127.0.0.1:3001 ': `127.0.0.1:${ports[1]} ` },
    })
    t.equal((await ask(nginx.url, '/v1/pools', { name: 'small' })).status, 201)

    const load = startSteadyLoad(nginx.url)
    const large = await beginBatch(nginx.url, LARGE, SLOWLY)
    await untilMoving(nginx.url, large)
    for (const [i, port] of ports.entries()) {
      const { code, responses } = await endWatched(replicas[i] as ServerProcess)
      t.equal(code, 0, 'exit code 0')
      t.ok(responses.has('{"status":"not_ready","reasons":["draining"]}'), `before the port closes: ${[...responses]}`)
      replicas[i] = await start(port)
      await untilReady(replicas[i].url)
    }
    const { answers, failures, held, batches } = await load.end()
    t.comment(answers, await nginx.faults())
    t.same(failures.slice(0, 10), [], `${failures.length} of all requests failed`)
    for (const what of ['export 200', 'export 304', 'listing 200', 'download 200', 'batch 200'])
      t.ok(answers[what], what)

    await checkExact(t, url, await untilEnded(nginx.url, large), LARGE)
    const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
    t.teardown(() => sql.end({ timeout: 5 }))
    const made = await sql<(Pick<Batch, 'id' | 'status'> & { users: number; names: number })[]>`
    select b.id, b.status, count(*)::int as users, count(distinct username)::int as names
    from batches b join users u on u.pool_id = b.pool_id and u.batch_id = b.id
    where b.pool_id <> 1 group by b.id, b.status`
    t.same(
      Object.fromEntries(made.map(({ id, ...counts }) => [id, counts])),
      Object.fromEntries(
        Object.entries(batches).map(([id, count]) => [id, { status: 'completed', users: count, names: count }]),
      ),
      `${made.length} small batches, each confirmed and with exactly its users`,
    )
    const [small] = await sql<{ id: number }[]>`select id from pools where name = 'small'`
    const filter = { batchId: undefined, testUsersOnly: true, bulkUsersOnly: false }
    const state = await stateFromScratch(sql, small?.id ?? 0, filter)
    for (const { state: followed } of held)
      t.equal(followed, state, 'a client that follows by deltas over both replicas has the current state')
    const { json } = await ask(nginx.url, '/v1/states/current')
    t.equal(json.state, await stateFromScratch(sql, 1, filter), 'the state of the default pool is that of the rows')
    t.same(await Promise.all(replicas.map((replica) => replica.end('SIGTERM'))), [0, 0])
  })
