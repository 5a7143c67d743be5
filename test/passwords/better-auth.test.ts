import { hashPassword as theirHash, verifyPassword } from '@better-auth/utils/password'
import { hashBetterAuth } from '../../src/passwords/hash-algorithms.ts'
import { hashPassword } from '../../src/passwords/hash-password.ts'
import { isFull } from '../size.ts'
import { suite } from '../suite.ts'

/* The costs are fixed: each hash and each login takes 0.1 s. So the small size has no logins, but compares hashes. */

const t = suite()

const PASSWORD = 'pässwörd ﬁ 😀'

t.test('makes the hash that better-auth makes with the same salt, of a password in any Unicode form', async (t) => {
  const theirs = await theirHash(PASSWORD.normalize('NFD')) // a keyboard may type letters and accents apart
  t.equal(hashBetterAuth(PASSWORD, theirs.split(':')[0]), theirs)
  const hash = hashPassword({ algorithm: 'better_auth' }, PASSWORD)
  t.match(hash, /^[0-9a-f]{32}:[0-9a-f]{128}$/)
  t.not(hash?.split(':')[0], theirs.split(':')[0], 'salted at random')
})

if (isFull) {
  t.test('better-auth’s own check takes the password in any Unicode form, and no other', async (t) => {
    const hash = hashPassword({ algorithm: 'better_auth' }, PASSWORD) ?? ''
    t.ok(await verifyPassword(hash, PASSWORD.normalize('NFD')))
    t.notOk(await verifyPassword(hash, `${PASSWORD} `))
  })
}
