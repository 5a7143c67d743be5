import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import fc from 'fast-check'
import { createSingleFlight } from '../../src/export/single-flight.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/** A read that the test ends, with the list of started reads. */
function controlledReads() {
  const running: PromiseWithResolvers<number>[] = []
  const read = () => {
    running.push(Promise.withResolvers())
    return running.at(-1)?.promise ?? Promise.reject(new Error('unreachable'))
  }
  return { running, read, end: (n: number) => running[n]?.resolve(n) }
}

t.test('a single request starts its own read', async (t) => {
  const lookUp = createSingleFlight<number>(1)
  t.equal(await lookUp('a', () => Promise.resolve(1)), 1)
  const { running, read, end } = controlledReads()
  const second = lookUp('a', read)
  await turnOfTheLoop()
  t.equal(running.length, 1, 'the first result is not reused: the second read starts at the end of the turn')
  end(0)
  t.equal(await second, 0)
})

t.test('requests that arrive during a read share the next read', async (t) => {
  const lookUp = createSingleFlight<number>(1)
  const { running, read, end } = controlledReads()
  const first = lookUp('a', read)
  await turnOfTheLoop()
  const late = Array.from({ length: 99 }, () => lookUp('a', read))
  await turnOfTheLoop()
  t.equal(running.length, 1, 'the next read has not started')
  end(0)
  t.equal(await first, 0)
  await turnOfTheLoop()
  t.equal(running.length, 2)
  const later = lookUp('a', read)
  end(1)
  t.strictSame(new Set(await Promise.all(late)), new Set([1]))
  await turnOfTheLoop()
  end(2)
  t.equal(await later, 2)
  t.equal(running.length, 3)
})

t.test('different keys do not wait for each other', async (t) => {
  const lookUp = createSingleFlight<number>(1)
  const { read, end } = controlledReads()
  const held = lookUp('a', read)
  await turnOfTheLoop()
  t.equal(await lookUp('b', () => Promise.resolve(7)), 7)
  end(0)
  await held
})

t.test('a failed read rejects only the requests that wait for it', async (t) => {
  const lookUp = createSingleFlight<number>(1)
  const { running, read, end } = controlledReads()
  const first = lookUp('a', read)
  await turnOfTheLoop()
  const second = [lookUp('a', read), lookUp('a', read)]
  running[0]?.reject(new Error('gone'))
  await t.rejects(first, { message: 'gone' })
  await turnOfTheLoop()
  end(1)
  t.strictSame(await Promise.all(second), [1, 1])
  const third = lookUp('a', read)
  await turnOfTheLoop()
  running[2]?.reject(new Error('gone again'))
  await t.rejects(third, { message: 'gone again' })
  t.equal(await lookUp('a', () => Promise.resolve(9)), 9)
})

t.test('with two concurrent reads, the second starts while the first runs and may end first', async (t) => {
  const lookUp = createSingleFlight<number>(2)
  const { running, read, end } = controlledReads()
  const first = [lookUp('a', read), lookUp('a', read)]
  await turnOfTheLoop()
  t.equal(running.length, 1, 'requests in the same turn share a read')
  const second = lookUp('a', read)
  await turnOfTheLoop()
  t.equal(running.length, 2)
  const third = lookUp('a', read)
  await turnOfTheLoop()
  t.equal(running.length, 2, 'the third waits')
  end(1)
  t.equal(await second, 1)
  await turnOfTheLoop()
  t.equal(running.length, 3, 'until one has ended')
  end(2)
  t.equal(await third, 2)
  end(0)
  t.strictSame(await Promise.all(first), [0, 0])
})

/** The next event: a request for a key, the end or failure of a read of that key, or a turn of the event loop. */
const step = fc.tuple(fc.constantFrom('ask', 'ask', 'end', 'fail', 'turn'), fc.constantFrom('a', 'b'), fc.nat(2))

t.test('no result comes from a read that started before its request, and the reads per key are limited', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 3 }),
      fc.array(step, { maxLength: 60, size: 'max' }),
      async (atOnce, steps) => {
        const lookUp = createSingleFlight<number>(atOnce)
        const running: Record<string, ((fails: boolean) => void)[]> = { a: [], b: [] }
        const broken: string[] = []
        const answers: Promise<void>[] = []
        let clock = 0
        let reads = 0
        const read = (key: string) => {
          if ((running[key]?.length ?? 0) >= atOnce) broken.push('too many concurrent reads of a key')
          const began = ++clock
          reads++
          return new Promise<number>((resolve, reject) => {
            running[key]?.push((fails) => (fails ? reject(new Error('failed')) : resolve(began)))
          })
        }
        const end = (key: string, which: number, fails: boolean) => {
          for (const settle of running[key]?.splice(which, 1) ?? []) settle(fails)
        }
        const ask = (key: string) => {
          const came = ++clock
          const check = (began: number) => void (began < came && broken.push('a result from before the request'))
          answers.push(lookUp(key, () => read(key)).then(check, () => {}))
        }
        for (const [what, key, which] of steps) {
          if (what === 'ask') ask(key)
          else if (what === 'turn') await turnOfTheLoop()
          else end(key, which, what === 'fail')
        }
        await turnOfTheLoop()
        while (Object.values(running).some((reads) => reads.length > 0)) {
          for (const key of Object.keys(running)) end(key, 0, false)
          await turnOfTheLoop()
        }
        await Promise.all(answers)
        return broken.length === 0 && reads <= answers.length
      },
    ),
    { numRuns: sized(60, 300) },
  )
})
