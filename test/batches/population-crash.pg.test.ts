import { testDatabase } from '../database.ts'
import { everyGenerator } from '../generators/every-generator.ts'
import { startService } from '../http/service.ts'
import { startServerProcess } from '../server-process.ts'
import { isFull } from '../size.ts'
import { suite } from '../suite.ts'
import { call, untilEnded, untilMoving } from './worked-batch.ts'

const t = suite()

/*
 * The same request makes the same population on two servers, although one of them is killed in the middle of the work,
 * continued by another process, and divided into other chunks. This test fails if a value depends on the chunk, the worker or a random number.
 */

const USERS = 10_000
const KILLS = 2
const ENCRYPTION_KEY = '5e'.repeat(32)
const PATH = '/v1/users/export?format=ndjson&include=password,totp_secret'

/** Without `slot`, which has fewer values than the batch users. */
const { slot: _, ...attributes } = everyGenerator

const request = (division: object) => ({
  count: USERS,
  config: {
    username_pattern: '{first}.{plan}.{n}',
    role: { $choice: { user: 9, admin: 1 } },
    custom_attributes: { ...attributes, first: { $name: 'first' } },
    locale: 'zh_CN',
    seed: 'spring',
    epoch: '2026-01-31T12:00:00Z',
    totp: true,
    password_mode: 'per_user',
    password_hash: { algorithm: 'none' },
    ...division,
  },
})

// The small size has population.pg.test.ts, in which the work is divided otherwise.
if (isFull)
  t.test('a population of a server that was killed equals that of an undisturbed server', async (t) => {
    const DATABASE_URL = await testDatabase()
    const settings = { ENCRYPTION_KEY, MAX_WORKERS: '2', LOG_LEVEL: 'info' }
    let killed = await startServerProcess(t, { DATABASE_URL, ...settings })
    const { batch } = await call(killed, '/v1/batches', request({ chunk_size: 40 }))
    for (let kill = 1; kill <= KILLS; kill++) {
      t.equal((await untilMoving(killed, batch.id)).finished_at, null, `kill ${kill} is in the middle of the work`)
      t.equal(await killed.end('SIGKILL'), 'SIGKILL')
      if (kill < KILLS) killed = await startServerProcess(t, { DATABASE_URL, ...settings })
    }
    const server = await startService(t, { DATABASE_URL, ...settings })
    const disturbed = await untilEnded(server, batch.id)
    t.match(disturbed, { status: 'completed', created_count: USERS, failed_count: 0 })

    const other = await startService(t, settings)
    const { batch: made } = await call(other, '/v1/batches', request({ chunk_size: 1_500, max_workers: 1 }))
    const undisturbed = await untilEnded(other, made.id)
    t.equal(undisturbed.id, disturbed.id)
    t.equal(undisturbed.state, disturbed.state)
    const [left = [], right = []] = await Promise.all([server, other].map(async ({ url }) => linesOf(url)))
    t.equal(left.length, USERS)
    t.equal(left.join('\n'), right.join('\n'), 'with passwords and second factors')
  })

/** The user lines of a full export. */
async function linesOf(url: string): Promise<string[]> {
  const answer = await fetch(url + PATH, { signal: AbortSignal.timeout(60_000) })
  return (await answer.text()).split('\n').filter((line) => line.startsWith('{"id"'))
}
