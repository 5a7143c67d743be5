import { generatePassword } from '../../src/passwords/generate-password.ts'
import { alphanumericSalt } from '../../src/passwords/hash-algorithms.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('a password has 20 characters, with every required class and none that is easily misread', (t) => {
  const passwords = Array.from({ length: 200 }, generatePassword)
  for (const each of [/^.{20}$/, /[A-Z]/, /[a-z]/, /[0-9]/, /[^A-Za-z0-9]/]) {
    t.ok(
      passwords.every((password) => each.test(password)),
      `${each}`,
    )
  }
  t.notOk(passwords.some((password) => /[IOl01\s'"\\`]/.test(password)))
  t.equal(new Set(passwords).size, 200, 'no two are equal')
  t.end()
})

t.test('every character can be in every position', (t) => {
  const passwords = Array.from({ length: 2_000 }, generatePassword)
  for (let place = 0; place < 20; place++) {
    t.ok(new Set(passwords.map((password) => password[place])).size > 60, `place ${place}`)
  }
  t.end()
})

t.test('a salt has the given length and consists of all letters and digits', (t) => {
  const salt = alphanumericSalt(10_000)
  t.match(salt, /^[A-Za-z0-9]{10000}$/)
  t.equal(new Set(salt).size, 62)
  t.end()
})
