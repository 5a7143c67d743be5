import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { sha256 } from '../../client/sha256.ts'
import { digestOf, StateSum } from '../../client/state.ts'
import { stateOf } from '../../src/protocol/state.ts'
import { suite } from '../suite.ts'

const t = suite()

const hex = (words: Uint32Array) => [...words].map((word) => word.toString(16).padStart(8, '0')).join('')

t.test('the client’s SHA-256 is that of OpenSSL, at every length around a block', (t) => {
  for (let length = 0; length < 200; length++) {
    const bytes = Uint8Array.from({ length }, (_, i) => i * 7 + length)
    const expected = createHash('sha256').update(bytes).digest('hex')
    if (hex(sha256(bytes)) !== expected) t.fail(`${length} bytes`)
  }
  t.end()
})

t.test('the client’s state of any users is that of the service, also after some are removed', (t) => {
  const lines = fc.array(fc.string({ unit: 'grapheme', maxLength: 99 }), { maxLength: 5 })
  fc.assert(
    fc.property(lines, lines, (kept, removed) => {
      const sum = new StateSum()
      for (const line of [...removed, ...kept]) sum.add(digestOf(line))
      for (const line of removed) sum.remove(digestOf(line))
      return sum.name() === stateOf(kept)
    }),
  )
  t.end()
})
