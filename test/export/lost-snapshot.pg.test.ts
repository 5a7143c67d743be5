import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

/* A client reads slowly, and the database ends the export's connection meanwhile. */

const { call, sql, url } = await sharedService(t)
const pad = 'x'.repeat(8_000)
const config = { custom_attributes: { pad }, password_hash: { algorithm: 'none' } }
const made = await call('POST', '/v1/batches', { body: { count: 3_000, config }, headers: { prefer: 'wait=60' } })
t.equal(made.status, 201)

for (const query of ['include=password', 'shard=0/1&include=password_hash']) {
  t.test(`an export of ?${query} is cut off, and does not look complete`, async (t) => {
    const request = get(`${url}/v1/users/export?format=ndjson&differential=false&${query}`)
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    const chunks: Buffer[] = [await once(response, 'data').then(([chunk]) => chunk as Buffer)]
    response.pause()
    await sleep(300) // the buffers on the way fill
    const killed = await sql`
      select pg_terminate_backend(pid, 10000) from pg_stat_activity
      where application_name like 'usersync%' and datname = current_database() and xact_start is not null and pid <> pg_backend_pid()`
    t.ok(killed.length > 0)
    await sleep(100)
    const error = await new Promise<unknown>((resolve) => {
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response
        .on('error', resolve)
        .on('end', () => resolve(undefined))
        .resume()
    })
    const body = Buffer.concat(chunks).toString()
    t.match(error, { code: 'ECONNRESET' })
    t.notMatch(body.slice(-200), /\{"end":/)
    t.ok(body.split('\n').length < 3_000, 'not all users')
  })
}
