import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { createAdmission } from '../../src/http/concurrency-limit.ts'
import { suite } from '../suite.ts'

const t = suite()

const LONG = 60_000

t.test('lets in as many as there are places; the next waits for one', async (t) => {
  const admission = createAdmission(2, LONG)
  const [leaveA] = [await admission.enter(), await admission.enter()]
  t.equal(admission.inside(), 2)
  let entered = false
  const third = admission.enter().then((leave) => {
    entered = true
    return leave
  })
  await sleep(5)
  t.notOk(entered)
  leaveA()
  const leaveC = await third
  t.equal(admission.inside(), 2)
  leaveC()
  t.equal(admission.inside(), 1)
})

t.test('who came first is let in first', async (t) => {
  const admission = createAdmission(1, LONG)
  let leave = await admission.enter()
  const order: number[] = []
  const waiting = [1, 2, 3].map(async (n) => {
    const leaveNext = await admission.enter()
    order.push(n)
    leaveNext()
  })
  leave()
  await Promise.all(waiting)
  t.strictSame(order, [1, 2, 3])
  leave = await admission.enter()
  t.equal(admission.inside(), 1)
})

t.test('who waits too long is refused, and takes no place later', async (t) => {
  const admission = createAdmission(1, 10)
  const leave = await admission.enter()
  await t.rejects(admission.enter(), { code: 'overloaded', headers: { 'retry-after': String } })
  leave()
  t.equal(admission.inside(), 0)
  const again = await admission.enter()
  t.equal(admission.inside(), 1)
  again()
})

t.test('a late one who gives up leaves the others in the queue', async (t) => {
  const admission = createAdmission(1, 30)
  const leave = await admission.enter()
  const first = admission.enter()
  await sleep(15)
  const second = admission.enter()
  await t.rejects(first, { code: 'overloaded' })
  leave()
  const leaveSecond = await second
  t.equal(admission.inside(), 1)
  leaveSecond()
  t.equal(admission.inside(), 0)
})

t.test('where too many wait, the next is refused at once', async (t) => {
  const admission = createAdmission(2, LONG)
  const leaves = [await admission.enter(), await admission.enter()]
  const waiting = Array.from({ length: 8 }, () => admission.enter())
  await t.rejects(admission.enter(), { code: 'overloaded' })
  for (const leave of leaves) leave()
  for (const each of waiting) (await each)()
  t.equal(admission.inside(), 0)
})

t.test('a place is given back once, however often it is said', async (t) => {
  const admission = createAdmission(2, LONG)
  const [leave] = [await admission.enter(), await admission.enter()]
  leave()
  leave()
  leave()
  t.equal(admission.inside(), 1)
})

t.test('one key has fewer places than there are, and does not hold up the others', async (t) => {
  const admission = createAdmission(3, LONG, 2)
  const leaves = [await admission.enter('a'), await admission.enter('a')]
  const third = admission.enter('a')
  const leaveB = await admission.enter('b')
  t.equal(admission.inside(), 3)
  const second = admission.enter('b')
  leaveB()
  const leaveSecond = await second
  t.equal(admission.inside(), 3, 'the place goes past the key that has its share')
  leaves[0]?.()
  const leaveThird = await third
  const waiting = Array.from({ length: 8 }, () => admission.enter('a'))
  await t.rejects(admission.enter('a'), { code: 'overloaded' }, 'nor does it fill the line')
  const waitingB = admission.enter('b')
  for (const leave of [...leaves, leaveThird, leaveSecond]) leave()
  for (const each of [...waiting, waitingB]) (await each)()
  t.equal(admission.inside(), 0)
})

t.test('empty resolves for all callers, and only when nobody is in', async (t) => {
  const admission = createAdmission(1, LONG)
  await admission.empty()
  const leave = await admission.enter()
  const next = admission.enter()
  let resolved = 0
  const empty = [1, 2].map(() => admission.empty().then(() => resolved++))
  leave()
  const leaveNext = await next
  await sleep(5)
  t.equal(resolved, 0, 'the one that waited is in')
  leaveNext()
  await Promise.all(empty)
  t.equal(resolved, 2)
})

t.test('never more inside than places, and nobody is forgotten', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.nat(3), { maxLength: 30, size: 'max' }),
      async (places, stays) => {
        const admission = createAdmission(places, LONG)
        const outcomes = stays.map(async (turns) => {
          const leave = await admission.enter()
          const within = admission.inside() <= places
          for (let turn = 0; turn < turns; turn++) await Promise.resolve()
          leave()
          return within
        })
        const settled = await Promise.allSettled(outcomes)
        const refused = settled.filter(({ status }) => status === 'rejected').length
        return (
          settled.every((each) => each.status === 'rejected' || each.value) &&
          refused === Math.max(0, stays.length - 5 * places) &&
          admission.inside() === 0
        )
      },
    ),
    { numRuns: 50 },
  )
})
