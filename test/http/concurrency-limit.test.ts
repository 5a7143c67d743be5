import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { createConcurrencyLimit } from '../../src/http/concurrency-limit.ts'
import { suite } from '../suite.ts'

const t = suite()

const LONG = 60_000

t.test('as many callers run as there are places, and the next one waits', async (t) => {
  const limit = createConcurrencyLimit(2, LONG)
  const [leaveA] = [await limit.acquire(), await limit.acquire()]
  t.equal(limit.active(), 2)
  let entered = false
  const third = limit.acquire().then((release) => {
    entered = true
    return release
  })
  await sleep(5)
  t.notOk(entered)
  leaveA()
  const leaveC = await third
  t.equal(limit.active(), 2)
  leaveC()
  t.equal(limit.active(), 1)
})

t.test('waiting callers get places in order of arrival', async (t) => {
  const limit = createConcurrencyLimit(1, LONG)
  let release = await limit.acquire()
  const order: number[] = []
  const waiting = [1, 2, 3].map(async (n) => {
    const leaveNext = await limit.acquire()
    order.push(n)
    leaveNext()
  })
  release()
  await Promise.all(waiting)
  t.strictSame(order, [1, 2, 3])
  release = await limit.acquire()
  t.equal(limit.active(), 1)
})

t.test('a caller that waits too long gets overloaded and takes no place later', async (t) => {
  const limit = createConcurrencyLimit(1, 10)
  const release = await limit.acquire()
  await t.rejects(limit.acquire(), { code: 'overloaded', headers: { 'retry-after': String } })
  release()
  t.equal(limit.active(), 0)
  const again = await limit.acquire()
  t.equal(limit.active(), 1)
  again()
})

t.test('a caller that times out does not affect the others in the queue', async (t) => {
  const limit = createConcurrencyLimit(1, 30)
  const release = await limit.acquire()
  const first = limit.acquire()
  await sleep(15)
  const second = limit.acquire()
  await t.rejects(first, { code: 'overloaded' })
  release()
  const leaveSecond = await second
  t.equal(limit.active(), 1)
  leaveSecond()
  t.equal(limit.active(), 0)
})

t.test('if too many callers wait, the next one is rejected immediately', async (t) => {
  const limit = createConcurrencyLimit(2, LONG)
  const leaves = [await limit.acquire(), await limit.acquire()]
  const waiting = Array.from({ length: 8 }, () => limit.acquire())
  await t.rejects(limit.acquire(), { code: 'overloaded' })
  for (const release of leaves) release()
  for (const each of waiting) (await each)()
  t.equal(limit.active(), 0)
})

t.test('a place is released once, however often release is called', async (t) => {
  const limit = createConcurrencyLimit(2, LONG)
  const [release] = [await limit.acquire(), await limit.acquire()]
  release()
  release()
  release()
  t.equal(limit.active(), 1)
})

t.test('a key with its full share waits without blocking other keys', async (t) => {
  const limit = createConcurrencyLimit(3, LONG, 2)
  const leaves = [await limit.acquire('a'), await limit.acquire('a')]
  const third = limit.acquire('a')
  const leaveB = await limit.acquire('b')
  t.equal(limit.active(), 3)
  const second = limit.acquire('b')
  leaveB()
  const leaveSecond = await second
  t.equal(limit.active(), 3, 'the place skips the key that has its share')
  leaves[0]?.()
  const leaveThird = await third
  const waiting = Array.from({ length: 8 }, () => limit.acquire('a'))
  await t.rejects(limit.acquire('a'), { code: 'overloaded' }, 'it cannot fill the queue either')
  const waitingB = limit.acquire('b')
  for (const release of [...leaves, leaveThird, leaveSecond]) release()
  for (const each of [...waiting, waitingB]) (await each)()
  t.equal(limit.active(), 0)
})

t.test('idle resolves for all callers once none is running', async (t) => {
  const limit = createConcurrencyLimit(1, LONG)
  await limit.idle()
  const release = await limit.acquire()
  const next = limit.acquire()
  let resolved = 0
  const empty = [1, 2].map(() => limit.idle().then(() => resolved++))
  release()
  const leaveNext = await next
  await sleep(5)
  t.equal(resolved, 0, 'the waiting caller is running')
  leaveNext()
  await Promise.all(empty)
  t.equal(resolved, 2)
})

t.test('there are never more callers than places, and none is lost', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.nat(3), { maxLength: 30, size: 'max' }),
      async (places, stays) => {
        const limit = createConcurrencyLimit(places, LONG)
        const outcomes = stays.map(async (turns) => {
          const release = await limit.acquire()
          const within = limit.active() <= places
          for (let turn = 0; turn < turns; turn++) await Promise.resolve()
          release()
          return within
        })
        const settled = await Promise.allSettled(outcomes)
        const refused = settled.filter(({ status }) => status === 'rejected').length
        return (
          settled.every((each) => each.status === 'rejected' || each.value) &&
          refused === Math.max(0, stays.length - 5 * places) &&
          limit.active() === 0
        )
      },
    ),
    { numRuns: 50 },
  )
})
