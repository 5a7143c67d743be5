import { mock } from 'node:test'
import { createClient } from '../../client/index.ts'
import { suite } from '../suite.ts'

const t = suite()

/* What the client does as time passes, by clocks that the tests set. */

const url = 'http://usersync.test'

/** Replaces a function of `clock` until the end of `t`. */
function setClock(t: { teardown(fn: () => void): void }, clock: { now(): number }, now: () => number) {
  const real = Object.getOwnPropertyDescriptor(clock, 'now')
  Object.defineProperty(clock, 'now', { value: now, configurable: true, writable: true })
  t.teardown(() => (real ? Object.defineProperty(clock, 'now', real) : Reflect.deleteProperty(clock, 'now')))
}

t.test('a lease outlives a renewal that gets no response', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  let now = 0
  setClock(t, performance, () => now)
  let renewals = 0
  const service: typeof fetch = async (input, init) => {
    const granted = String(input).endsWith('/v1/leases')
    const isSilent = !granted && ++renewals === 1
    if (isSilent) await new Promise((_, reject) => init?.signal?.addEventListener('abort', reject))
    return Response.json(granted ? { id: 'x', fence: 1, users: [{ id: 'u' }] } : {})
  }
  const lease = await createClient({ url, fetch: service }).leases.take({ ttl_seconds: 60 })
  while (now < 59_000) {
    now += 500
    mock.timers.tick(500)
    for (let i = 0; i < 10; i++) await new Promise(setImmediate)
  }
  t.strictSame([lease.lost.aborted, renewals], [false, 2])
})

t.test('a clock that jumps ahead ends neither retries nor the patience of a loop', async (t) => {
  const HOUR = 3_600_000
  const failed = new TypeError('fetch failed')
  let now = 0
  setClock(t, Date, () => (now += HOUR))
  let requests = 0
  const service: typeof fetch = () =>
    ++requests === 1 ? Promise.reject(failed) : Promise.resolve(Response.json({ test_users: 3 }))
  t.match(await createClient({ url, fetch: service }).request('getStats'), { test_users: 3 })
  const stop = new AbortController()
  let rounds = 0
  const away: typeof fetch = () => {
    if (++rounds === 3) stop.abort()
    return Promise.reject(failed)
  }
  const following = createClient({ url, fetch: away, attempts: 1 }).users.follow({ everyMs: 1, signal: stop.signal })
  for await (const _ of following) t.fail('there is no change')
  t.equal(rounds, 3)
})
