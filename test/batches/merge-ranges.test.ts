import fc from 'fast-check'
import { mergeRanges } from '../../src/batches/unused-credentials.ts'
import { suite } from '../suite.ts'

const t = suite()

/* A sweep looks at each credential once, however many users that had it were deleted. */

type Ranges = ReturnType<typeof mergeRanges>

const idsOf = (ranges: Ranges): bigint[] =>
  ranges.flatMap(({ first_id, last_id }) =>
    Array.from({ length: Number(BigInt(last_id) - BigInt(first_id)) + 1 }, (_, i) => BigInt(first_id) + BigInt(i)),
  )

const range = fc
  .record({ first: fc.bigInt({ min: 1n, max: 60n }), size: fc.bigInt({ min: 1n, max: 12n }) })
  .map(({ first, size }) => ({ first_id: String(first), last_id: String(first + size - 1n) }))

t.test('merged ranges contain the same ids, each once', (t) => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 20 }), (ranges) => {
      const merged = idsOf(mergeRanges(ranges))
      t.equal(new Set(merged).size, merged.length)
      t.same(new Set(merged), new Set(idsOf(ranges)))
    }),
  )
  t.end()
})

t.test('ids are exact beyond 2^53, and ordered as numbers', (t) => {
  const one = { first_id: '9007199254740993', last_id: '9007199254740993' }
  const next = { first_id: '9007199254740994', last_id: '9007199254740994' }
  t.strictSame(mergeRanges([next, one, { first_id: '9', last_id: '10' }, one]), [
    { first_id: '9', last_id: '10' },
    one,
    next,
  ])
  t.end()
})
