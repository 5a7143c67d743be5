import { memoize } from '../../src/process/memoize.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('a text is read once, whatever came of it, also where that is undefined', (t) => {
  const read: string[] = []
  const lengthOf = memoize((text) => {
    read.push(text)
    return text.length > 2 ? text.length : undefined
  })
  t.strictSame(['abc', 'a', 'abc', 'a'].map(lengthOf), [3, undefined, 3, undefined])
  t.strictSame(read, ['abc', 'a'])
  t.end()
})

t.test('ever new texts are all answered rightly, and no more than a hundred are kept', (t) => {
  let reads = 0
  const numberOf = memoize((text) => {
    reads++
    return Number(text)
  })
  for (let i = 0; i < 1_000; i++) t.equal(numberOf(String(i)), i)
  t.equal(numberOf('0'), 0)
  t.equal(reads, 1_001, 'the first of them was forgotten')
  t.end()
})
