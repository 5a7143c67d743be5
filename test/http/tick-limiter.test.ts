import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import { createTickLimiter } from '../../src/http/overload.ts'
import { suite } from '../suite.ts'

const t = suite()

const never = () => false

t.test('a limited number of tasks start in each turn of the event loop, in order, and none is lost', async (t) => {
  const arrivals = fc.array(fc.nat(20), { minLength: 1, maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 6 }), arrivals, async (most, counts) => {
      const inTurn = createTickLimiter(most, 1_000, never)
      const begun: number[] = []
      let next = 0
      for (const count of counts) {
        for (let n = 0; n < count; n++) {
          const mine = next++
          inTurn(() => void begun.push(mine))
        }
        const before = begun.length
        await nextTurn()
        if (begun.length - before > most) return false
      }
      for (let turns = next; turns >= 0; turns--) await nextTurn()
      return begun.length === next && begun.every((mine, place) => mine === place)
    }),
  )
  t.pass()
})

t.test('the first tasks start immediately', (t) => {
  const inTurn = createTickLimiter(2, 1_000, never)
  const begun: string[] = []
  for (const name of ['a', 'b', 'c']) inTurn(() => begun.push(name))
  t.strictSame(begun, ['a', 'b'])
  t.end()
})

t.test('a delayed task runs in its own async context', async (t) => {
  const context = new AsyncLocalStorage<string>()
  const inTurn = createTickLimiter(1, 1_000, never)
  const seen: (string | undefined)[] = []
  for (const name of ['a', 'b']) context.run(name, () => inTurn(() => seen.push(context.getStore())))
  await nextTurn()
  t.strictSame(seen, ['a', 'b'])
})

t.test('tasks wait for urgent work, but not longer than 100 ms', async (t) => {
  let urgent = true
  const inTurn = createTickLimiter(1, 1_000, () => urgent)
  const begun: string[] = []
  for (const name of ['a', 'b', 'c']) inTurn(() => begun.push(name))
  for (let turns = 0; turns < 10; turns++) await nextTurn()
  t.strictSame(begun, ['a'])
  urgent = false
  await nextTurn()
  await nextTurn()
  t.strictSame(begun, ['a', 'b', 'c'])

  urgent = true
  for (const name of ['d', 'e', 'f']) inTurn(() => begun.push(name))
  for (const deadline = Date.now() + 5_000; Date.now() < deadline && begun.length < 6; ) await nextTurn()
  t.strictSame(begun, ['a', 'b', 'c', 'd', 'e', 'f'], 'nothing waits forever')
})

t.test('when the queue is full, the next task starts immediately', async (t) => {
  const inTurn = createTickLimiter(1, 2, never)
  const begun: string[] = []
  for (const name of ['a', 'b', 'c', 'd']) inTurn(() => begun.push(name))
  t.strictSame(begun, ['a', 'd'])
  for (let turns = 0; turns < 3; turns++) await nextTurn()
  t.strictSame(begun, ['a', 'd', 'b', 'c'])
})
