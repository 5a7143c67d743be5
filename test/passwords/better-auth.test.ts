import { hashPassword, verifyPassword } from '@better-auth/utils/password'
import { hashBetterAuth } from '../../src/passwords/hash-algorithms.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('better-auth’s own check takes the password in any Unicode form, and no other', async (t) => {
  const hash = hashBetterAuth('pässwörd ﬁ 😀')
  t.match(hash, /^[0-9a-f]{32}:[0-9a-f]{128}$/)
  t.ok(await verifyPassword(hash, 'pässwörd ﬁ 😀'))
  t.ok(await verifyPassword(hash, 'pässwörd ﬁ 😀'.normalize('NFD')), 'a keyboard may type letters and accents apart')
  t.notOk(await verifyPassword(hash, 'pässwörd ﬁ 😀 '))
  t.not(hashBetterAuth('pässwörd ﬁ 😀'), hash, 'salted at random')
})

t.test('makes the hash that better-auth makes with the same salt', async (t) => {
  const theirs = await hashPassword('TestPass123!')
  t.equal(hashBetterAuth('TestPass123!', theirs.split(':')[0]), theirs)
})
