import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import fc from 'fast-check'
import { createSingleFlight } from '../../src/export/single-flight.ts'
import { suite } from '../suite.ts'

const t = suite()

/** A read that ends when it is told to, and counts how often it was begun. */
function heldReads() {
  const running: PromiseWithResolvers<number>[] = []
  const read = () => {
    running.push(Promise.withResolvers())
    return running.at(-1)?.promise ?? Promise.reject(new Error('unreachable'))
  }
  return { running, read, end: (n: number) => running[n]?.resolve(n) }
}

t.test('a request alone is answered by a read of its own', async (t) => {
  const lookUp = createSingleFlight<number>(1)
  t.equal(await lookUp('a', () => Promise.resolve(1)), 1)
  const { running, read, end } = heldReads()
  const second = lookUp('a', read)
  await turnOfTheLoop()
  t.equal(running.length, 1, 'nothing is kept of the first: the second begins when the turn ends')
  end(0)
  t.equal(await second, 0)
})

t.test('who comes during a read waits for the next one, with all others who do', async (t) => {
  const lookUp = createSingleFlight<number>(1)
  const { running, read, end } = heldReads()
  const first = lookUp('a', read)
  await turnOfTheLoop()
  const late = Array.from({ length: 99 }, () => lookUp('a', read))
  await turnOfTheLoop()
  t.equal(running.length, 1, 'the next one has not begun')
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

t.test('keys do not wait for one another', async (t) => {
  const lookUp = createSingleFlight<number>(1)
  const { read, end } = heldReads()
  const held = lookUp('a', read)
  await turnOfTheLoop()
  t.equal(await lookUp('b', () => Promise.resolve(7)), 7)
  end(0)
  await held
})

t.test('a read that fails rejects those who wait for it, and no others', async (t) => {
  const lookUp = createSingleFlight<number>(1)
  const { running, read, end } = heldReads()
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

t.test('of two at once, the second begins while the first runs, and may end before it', async (t) => {
  const lookUp = createSingleFlight<number>(2)
  const { running, read, end } = heldReads()
  const first = [lookUp('a', read), lookUp('a', read)]
  await turnOfTheLoop()
  t.equal(running.length, 1, 'those who came in one turn share a read')
  const second = lookUp('a', read)
  await turnOfTheLoop()
  t.equal(running.length, 2)
  const third = lookUp('a', read)
  await turnOfTheLoop()
  t.equal(running.length, 2, 'a third one waits')
  end(1)
  t.equal(await second, 1)
  await turnOfTheLoop()
  t.equal(running.length, 3, 'until one has ended')
  end(2)
  t.equal(await third, 2)
  end(0)
  t.strictSame(await Promise.all(first), [0, 0])
})

/** What happens next: a request for a key, the end of a read of the key, well or not, or a turn of the event loop. */
const step = fc.tuple(fc.constantFrom('ask', 'ask', 'end', 'fail', 'turn'), fc.constantFrom('a', 'b'), fc.nat(2))

t.test('no answer rests on a read begun before its request, and so many reads of a key run at a time', async () => {
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
          if ((running[key]?.length ?? 0) >= atOnce) broken.push('too many reads of a key at once')
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
          const check = (began: number) => void (began < came && broken.push('an answer from before'))
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
    { numRuns: 300 },
  )
})
