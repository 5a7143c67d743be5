import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { StateDigest, stateOf } from '../../src/protocol/state.ts'
import { suite } from '../suite.ts'

const t = suite()

/** The definition in docs/states-and-deltas.md, in arbitrary precision. */
function stateByDefinition(lines: string[]): string {
  const words = [0, 1, 2, 3].map((word) =>
    lines
      .map((line) => createHash('sha256').update(Buffer.from(line, 'utf8')).digest('hex'))
      .map((hex) => BigInt(`0x${hex.slice(word * 16, word * 16 + 16)}`))
      .reduce((sum, value) => (sum + value) % 2n ** 64n, 0n),
  )
  return `u1-${words.map((word) => word.toString(16).padStart(16, '0')).join('')}`
}

const lines = fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 30, size: 'max' })

t.test('a state follows its definition', (t) => {
  fc.assert(fc.property(lines, (lines) => stateOf(lines) === stateByDefinition(lines)))
  t.end()
})

t.test('a state does not depend on the order of the lines', (t) => {
  fc.assert(
    fc.property(lines, fc.func(fc.integer()), (lines, key) => {
      const shuffled = [...lines].sort((a, b) => key(a) - key(b))
      const digest = new StateDigest()
      for (const line of shuffled) digest.add(line)
      return digest.name() === stateOf(lines)
    }),
  )
  t.end()
})

t.test('one line more, fewer or different gives another state', (t) => {
  fc.assert(
    fc.property(lines, fc.string(), fc.string(), (lines, line, other) => {
      fc.pre(line !== other)
      const states = [
        stateOf(lines),
        stateOf([...lines, line]),
        stateOf([...lines, other]),
        stateOf([...lines, line, line]),
      ]
      return new Set(states).size === states.length
    }),
  )
  t.end()
})

t.test('the states of no users and of one user are known values', (t) => {
  t.equal(stateOf([]), `u1-${'0'.repeat(64)}`)
  t.equal(
    stateOf(['']),
    'u1-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    'SHA-256 of the empty text',
  )
  t.end()
})
