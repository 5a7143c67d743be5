import fc from 'fast-check'
import { measurePart } from '../../src/export/measure-part.ts'
import type { SystemFormat, SystemUser } from '../../src/systems/system-format.ts'
import { suite } from '../suite.ts'

const t = suite()

/** A user that takes `size` bytes, needs the head `head`, and is refused if the size is 0. */
interface Sample {
  size: number
  head: string
}

const formatOf = (part: SystemFormat['part']): SystemFormat<Sample> => ({
  mediaType: 'text/plain',
  hasPasswords: false,
  part,
  render: ({ custom_attributes }) => {
    const sample = custom_attributes as unknown as Sample
    return sample.size > 0 ? { rendered: sample } : { refusal: { code: 'value_invalid', detail: 'is empty' } }
  },
  write: ({ size }) => 'é'.repeat(size),
  head: (first) => first?.head ?? '',
  separator: '\n',
  tail: '!',
})

const userOf = (sample: Sample, n: number) =>
  ({ id: String(n).padStart(5, '0'), custom_attributes: sample }) as unknown as SystemUser

/** All parts of the users, and how many bytes each has as it is sent. */
async function partsOf(format: SystemFormat<Sample>, users: SystemUser[]) {
  const parts = []
  for (let rest = users; ; ) {
    const part = await measurePart(format as SystemFormat, rest.length === 0 ? [] : [rest.slice(0, 1), rest.slice(1)])
    const own = rest.slice(0, part.users)
    const texts = own.map((user) => format.render(user)).map((r) => ('rendered' in r ? format.write(r.rendered) : ''))
    const text = `${format.head(part.first as Sample)}${texts.join(format.separator)}${format.tail}`
    parts.push({ ...part, own, bytes: Buffer.byteLength(text) })
    if (!part.hasMore) return parts
    rest = rest.slice(part.users)
  }
}

const sample = fc.record({ size: fc.integer({ min: 1, max: 8 }), head: fc.constantFrom('a', 'a', 'a', 'bb') })
const limits = fc.record({ users: fc.integer({ min: 1, max: 7 }), bytes: fc.integer({ min: 20, max: 60 }) })

t.test('the parts are all users in order, each within the limits, and no part could have one more', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(sample, { maxLength: 30 }), limits, async (samples, limit) => {
      const users = samples.map(userOf)
      const parts = await partsOf(formatOf(limit), users)
      t.strictSame(
        parts.flatMap(({ own }) => own),
        users,
      )
      for (const [n, { users: count, bytes, own, last }] of parts.entries()) {
        const heads = new Set(own.map(({ custom_attributes }) => (custom_attributes as unknown as Sample).head))
        t.ok(count <= limit.users && bytes <= limit.bytes && heads.size <= 1)
        t.equal(last, own.at(-1)?.id)
        const next = parts[n + 1]?.own[0]?.custom_attributes as unknown as Sample | undefined
        if (next) t.ok(count === limit.users || bytes + 1 + 2 * next.size > limit.bytes || !heads.has(next.head))
      }
    }),
  )
})

t.test('a part lists the first users that the system does not take, and counts them all', async (t) => {
  const users = Array.from({ length: 50 }, (_, n) => userOf({ size: n % 2, head: '' }, n))
  const part = await measurePart(formatOf({ users: 100, bytes: 1_000 }) as SystemFormat, [users])
  t.match(part, { users: 50, refusedCount: 25, hasMore: false })
  t.equal(part.faults.length, 20)
  t.strictSame(part.faults[1], { path: 'users.00002', code: 'value_invalid', message: 'is empty' })
})

t.test('a user that is larger than a part is refused, and ends no part', async (t) => {
  const users = [1, 50, 1].map((size, n) => userOf({ size, head: 'a' }, n))
  const part = await measurePart(formatOf({ users: 100, bytes: 20 }) as SystemFormat, [users])
  t.match(part, { users: 3, refusedCount: 1, hasMore: false, faults: [{ path: 'users.00001', message: /100 bytes/ }] })
})
