import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../../src/batches/batches.ts'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { stateFromScratch } from '../export/observe.ts'
import { type ServerProcess, startServerProcess } from '../server-process.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { ask, beginBatch, untilEnded, untilMoving, untilReady } from './client.ts'
import { checkExact } from './exact.ts'
import { freePort } from './free-port.ts'
import { NGINX, startNginx } from './nginx.ts'
import { startSteadyLoad } from './steady-load.ts'

const t = suite()

/*
 * Two replicas behind nginx, which goes by docs/nginx.conf; one after the other is ended and started anew while they are used.
 */

const skip = NGINX ? false : 'there is no nginx here (Debian: apt-get install nginx-light)'
const TURNS = sized(1, 2)

/** In work in each turn from its beginning; small chunks, and one thread of a process, so that it takes its time. */
const LARGE = sized(30_000, 100_000)
const SLOWLY = { chunk_size: 200, max_workers: 1, password_hash: { algorithm: 'none' } }

/** Longer than `keepalive_timeout` in docs/nginx.conf, as that file asks. */
const DRAIN_DELAY_SECONDS = 3

t.setTimeout(400_000)

/** Ends it, and gives its exit code and what `/readyz` said meanwhile, asked on connections of their own. */
async function endWatched(replica: ServerProcess): Promise<{ code: number | string; said: Set<string> }> {
  const said = new Set<string>()
  let ended = false
  const end = replica.end('SIGTERM').finally(() => {
    ended = true
  })
  while (!ended) {
    const told = await fetch(`${replica.url}/readyz`, { headers: { connection: 'close' } }).then(
      (answer) => answer.text(),
      () => 'closed',
    )
    said.add(told)
    await sleep(50)
  }
  return { code: await end, said }
}

t.test('no request fails, and no job is lost or done twice', { skip }, async (t) => {
  const url = await testDatabase(t)
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
  const nginx = await startNginx(t, ports)
  t.equal((await ask(nginx.url, '/v1/pools', { name: 'small' })).status, 201)

  const load = startSteadyLoad(nginx.url)
  const large: string[] = []
  for (let turn = 0; turn < TURNS; turn++) {
    const id = await beginBatch(nginx.url, LARGE, SLOWLY)
    await untilMoving(nginx.url, id)
    large.push(id)
    for (const [i, port] of ports.entries()) {
      const { code, said } = await endWatched(replicas[i] as ServerProcess)
      t.equal(code, 0, 'an orderly end')
      t.ok(said.has('{"status":"not_ready","reasons":["draining"]}'), `before it closes the port: ${[...said]}`)
      replicas[i] = await start(port)
      await untilReady(replicas[i].url, 60)
    }
  }
  const { answers, failures, held, batches } = await load.end()
  t.comment(answers, await nginx.faults())
  t.same(failures.slice(0, 10), [], `${failures.length} of all requests failed`)
  for (const what of ['export 200', 'export 304', 'listing 200', 'download 200', 'batch 200']) t.ok(answers[what], what)

  for (const id of large) await checkExact(t, url, await untilEnded(nginx.url, id, 180), LARGE)
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
    `${made.length} small batches, each of a creation that was answered, with exactly its users`,
  )
  const [small] = await sql<{ id: number }[]>`select id from pools where name = 'small'`
  const filter = { batchId: undefined, testUsersOnly: true, bulkUsersOnly: false }
  const state = await stateFromScratch(sql, small?.id ?? 0, filter)
  for (const { state: followed } of held) t.equal(followed, state, 'from delta to delta, over both replicas')
  const { json } = await ask(nginx.url, '/v1/states/current')
  t.equal(json.state, await stateFromScratch(sql, 1, filter), 'the state of the others is that of the rows')
  t.same(await Promise.all(replicas.map((replica) => replica.end('SIGTERM'))), [0, 0])
})
