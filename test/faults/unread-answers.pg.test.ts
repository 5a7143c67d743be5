import { once } from 'node:events'
import { connect as connectSocket, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { startService } from '../http/service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/* Clients request the largest possible pages and read nothing. */

const READERS = sized(6, 16)

t.test('clients that read nothing do not keep the service from serving others', async (t) => {
  const { app, sql, url, call, memory } = await startService(t, {
    MAX_WORKERS: '1',
    MEMORY_LIMIT_MB: '128',
    WAIT_SECONDS: '1',
  })
  await sql`
    insert into users (username, email, custom_attributes)
    select 'user' || n, 'user' || n || '@example.com', jsonb_build_object('x', repeat('a', 500000)) from generate_series(1, 5) n`
  const port = Number(new URL(url).port)
  for (let n = 0; n < READERS; n++) {
    const connected = once(app.server, 'connection')
    const socket = connectSocket(port, '127.0.0.1').on('error', () => {})
    t.teardown(() => void socket.destroy())
    const [accepted]: Socket[] = await connected
    // The kernel would buffer a few megabytes for a client that reads nothing, and decides how many. Corking sends
    // nothing to it.
    accepted?.cork()
    Object.assign(accepted as Socket, { uncork() {} }) // Node calls it at the end of each response
    socket.write('GET /v1/users?limit=1000 HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(4))
  }
  let refused = 0
  for (const deadline = Date.now() + 20_000; Date.now() < deadline && refused === 0; await sleep(50)) {
    const large = await call<{ code?: string }>('GET', '/v1/users?limit=1000')
    if (large.status === 503 && large.json.code === 'overloaded') refused++
  }
  t.equal(refused, 1, 'another large response does not fit')
  t.ok(memory.isOver())
  t.match(await call('GET', '/readyz'), { status: 200, json: { status: 'ready', reasons: [] } })
  t.match(await call('GET', '/healthz'), { status: 200, json: { status: 'ready', warnings: ['memory'] } })
  t.match(
    await call('GET', '/v1/users/export'),
    { status: 503 },
    'new work is rejected while memory is above its limit',
  )
  t.equal((await call('GET', '/v1/users?limit=1000')).status, 503, 'large responses are still rejected')
  for (const path of ['/v1/users?limit=1&sort=-id', '/v1/states/current', '/v1/batches', '/v1/stats']) {
    t.equal((await call('GET', path)).status, 200, path)
  }
})
