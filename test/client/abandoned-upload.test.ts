import { createClient } from '../../client/index.ts'
import { suite } from '../suite.ts'

const t = suite()

/* A file of its own, because it counts the timers of the process, and the tests of requests.test.ts run at the same time. */

t.test('an upload that fails while its source still reads leaves nothing behind', async (t) => {
  const isRead = Promise.withResolvers<void>()
  const cancelled = Promise.withResolvers<void>()
  async function* source() {
    try {
      await isRead.promise
      yield { username: 'u1', email: 'u1@example.com' }
      yield { username: 'u2', email: 'u2@example.com' }
    } finally {
      cancelled.resolve()
    }
  }
  const failing = async (_url: unknown, { body }: { body: ReadableStream }) => {
    void body
      .getReader()
      .read()
      .catch(() => {}) // as Node does while it looks up the host
    await new Promise(setImmediate)
    throw new TypeError('fetch failed', { cause: { code: 'ENOTFOUND' } })
  }
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  const client = createClient({ url: 'http://usersync.example', fetch: failing as unknown as typeof fetch })
  await t.rejects(client.users.import(source()), { code: 'unreachable' })
  isRead.resolve()
  await cancelled.promise
  await new Promise(setImmediate)
  t.ok(timers() <= before, 'fewer if a timer of an earlier file has ended')
})
