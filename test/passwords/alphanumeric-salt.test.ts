import { alphanumericSalt } from '../../src/passwords/alphanumeric-salt.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('a salt has the given length and consists of all letters and digits', (t) => {
  const salt = alphanumericSalt(10_000)
  t.match(salt, /^[A-Za-z0-9]{10000}$/)
  t.equal(new Set(salt).size, 62)
  t.end()
})
