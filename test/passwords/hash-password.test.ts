import { argon2Verify } from 'hash-wasm'
import { ALGORITHMS, hashPassword } from '../../src/passwords/hash-password.ts'
import { suite } from '../suite.ts'

const t = suite()

const FORMS = {
  argon2id: /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/,
  scrypt: /^scrypt:32768:8:1\$/,
  bcrypt: /^\$2b\$10\$/,
  pbkdf2_sha256: /^pbkdf2_sha256\$1500000\$/,
}

const PASSWORD = 'pässwörd ☃ 😀'

t.test('each algorithm writes its own format, and another implementation accepts the argon2id hash', async (t) => {
  t.strictSame(ALGORITHMS, [...Object.keys(FORMS), 'none'])
  t.match(hashPassword('scrypt', PASSWORD), FORMS.scrypt)
  t.match(hashPassword('bcrypt', PASSWORD), FORMS.bcrypt)
  t.match(hashPassword('pbkdf2_sha256', PASSWORD), FORMS.pbkdf2_sha256)

  const hash = hashPassword('argon2id', PASSWORD)
  t.match(hash, FORMS.argon2id)
  t.ok(await argon2Verify({ password: PASSWORD, hash }))
  t.notOk(await argon2Verify({ password: `${PASSWORD} `, hash }))
})
