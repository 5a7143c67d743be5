import { memoize } from '../../src/process/memoize.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('each text is read once, even if the result is undefined', (t) => {
  const read: string[] = []
  const lengthOf = memoize((text) => {
    read.push(text)
    return text.length > 2 ? text.length : undefined
  })
  t.strictSame(['abc', 'a', 'abc', 'a'].map(lengthOf), [3, undefined, 3, undefined])
  t.strictSame(read, ['abc', 'a'])
  t.end()
})

t.test('many different texts give correct results, and at most 100 are kept', (t) => {
  let reads = 0
  const numberOf = memoize((text) => {
    reads++
    return Number(text)
  })
  const numbers = Array.from({ length: 1_000 }, (_, i) => i)
  t.strictSame(
    numbers.map((i) => numberOf(String(i))),
    numbers,
  )
  t.equal(numberOf('0'), 0)
  t.equal(reads, 1_001, 'the first one was evicted')
  t.end()
})
