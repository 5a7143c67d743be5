import fc from 'fast-check'
import { derivePassword, generatePassword } from '../../src/passwords/generate-password.ts'
import { suite } from '../suite.ts'

const t = suite()

const secret = fc.string({ unit: 'grapheme', minLength: 1 })
const userId = fc.uuid()

const CLASSES = ['ABCDEFGHJKLMNPQRSTUVWXYZ', 'abcdefghijkmnpqrstuvwxyz', '23456789', '!#%+-=?@_']

/** Passwords of 5,000 fixed users, so that counts over them do not depend on chance. */
const PASSWORDS = Array.from({ length: 5_000 }, (_, n) => derivePassword('correct horse battery staple', `user-${n}`))

/** Computed by another program (Python's hmac and hashlib) from the docstring. The last two needed three attempts. */
t.test('derived passwords never change', (t) => {
  for (const [secret, userId, password] of [
    ['correct horse battery staple', '01920000-0000-7000-8000-000000000001', 'J3+ySYWzq2=hG9XBdBDf'],
    ['correct horse battery staple', '01920000-0000-7000-8000-000000000002', 'sf2f%!7gcn4VrJLHsE?A'],
    ['correct horse battery staple', '01920000-0000-7000-8000-000000000061', 'XdzKewC_qhEg!D%Cd8b7'],
    ['schlüssel ☃', '01920000-0000-7000-8000-000000000001', 't#um#+L@KCwq3an-6gPD'],
  ] as const) {
    t.equal(derivePassword(secret, userId), password)
  }
  t.end()
})

t.test('a password has 20 characters, with every required class', (t) => {
  fc.assert(
    fc.property(secret, userId, (secret, userId) => {
      const password = derivePassword(secret, userId)
      return (
        password.length === 20 &&
        CLASSES.every((each) => [...password].some((character) => each.includes(character))) &&
        [...password].every((character) => CLASSES.join('').includes(character))
      )
    }),
  )
  t.end()
})

t.test('the password depends on the secret and the user, and only on them', (t) => {
  fc.assert(
    fc.property(secret, secret, userId, userId, (secret, otherSecret, userId, otherUserId) => {
      fc.pre(secret !== otherSecret && userId !== otherUserId)
      const password = derivePassword(secret, userId)
      return (
        derivePassword(secret, userId) === password &&
        derivePassword(otherSecret, userId) !== password &&
        derivePassword(secret, otherUserId) !== password
      )
    }),
  )
  t.equal(new Set(PASSWORDS).size, PASSWORDS.length)
  t.end()
})

t.test('derivePassword uses the same characters as generatePassword', (t) => {
  const charactersOf = (passwords: string[]) => [...new Set(passwords.join(''))].sort().join('')
  t.equal(charactersOf(PASSWORDS), charactersOf(Array.from({ length: 2_000 }, generatePassword)))
  t.end()
})

t.test('all characters of a class are equally likely', (t) => {
  for (const characters of CLASSES) {
    const counts = [...characters].map((character) => PASSWORDS.join('').split(character).length - 1)
    const mean = counts.reduce((sum, count) => sum + count) / counts.length
    const farthest = Math.max(...counts.map((count) => Math.abs(count - mean) / Math.sqrt(mean)))
    t.ok(farthest < 4, `${characters}: ${farthest.toFixed(1)} standard deviations`)
  }
  t.end()
})
