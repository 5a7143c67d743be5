import { once } from 'node:events'
import { type AddressInfo, connect as connectSocket } from 'node:net'
import { text } from 'node:stream/consumers'
import Fastify from 'fastify'
import { readConfig } from '../../src/config/config.ts'
import { connect } from '../../src/database/connection.ts'
import { errorResponses } from '../../src/http/error-responses.ts'
import { importRoutes } from '../../src/import/routes.ts'
import { testDatabase } from '../database.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('a silent client gets 408, and its transaction and place are released', async (t) => {
  const url = await testDatabase()
  const sql = connect({ url, schema: 'usersync', connections: 4, name: 'usersync uploads', isService: true })
  t.teardown(() => sql.end())
  const app = Fastify()
  await app.register(errorResponses)
  await app.register(importRoutes, {
    config: readConfig({}),
    sql,
    uploads: sql,
    patience: { silenceMs: 200, totalMs: 60_000, bytesPerSecond: 0 },
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(() => app.close())

  const users = Array.from({ length: 3000 }, (_, i) => `{"username":"u${i}@example.com"}\n`).join('')
  const send = async () => {
    const socket = connectSocket((app.server.address() as AddressInfo).port, '127.0.0.1')
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.write(
      `POST /v1/users/import HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: 9000000\r\n\r\n${users}`,
    )
    return text(socket)
  }
  for (const answer of await Promise.all([send(), send(), send(), send()])) {
    t.match(answer, /^HTTP\/1\.1 408 .*connection: close.*"code":"request_timeout"/s)
  }
  const [row] = await sql`
    select (select count(*)::int from users) as users, (select count(*)::int from batches) as batches,
      (select count(*)::int from pg_stat_activity where datname = current_database() and state like 'idle in transaction%') as open`
  t.same(row, { users: 0, batches: 0, open: 0 })
})
