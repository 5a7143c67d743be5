import { ALGORITHMS, DEFAULT_COSTS, hashPassword, withCosts } from '../../src/passwords/hash-password.ts'
import { suite } from '../suite.ts'
import { verifyLogin } from './verify-login.ts'

const t = suite()

const FORMS = {
  argon2id: /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/,
  scrypt: /^scrypt:32768:8:1\$/,
  bcrypt: /^\$2b\$10\$/,
  pbkdf2_sha256: /^pbkdf2_sha256\$1500000\$/,
  better_auth: /^[0-9a-f]{32}:[0-9a-f]{128}$/,
}

const PASSWORD = 'pässwörd ☃ 😀'

t.test('each algorithm writes its own format, at its default costs if none are given', (t) => {
  t.strictSame(ALGORITHMS, [...Object.keys(FORMS), 'none'])
  t.strictSame(Object.keys(DEFAULT_COSTS), ALGORITHMS)
  for (const [algorithm, form] of Object.entries(FORMS) as [keyof typeof FORMS, RegExp][]) {
    t.match(hashPassword(withCosts({ algorithm }), PASSWORD), form)
  }
  t.equal(hashPassword({ algorithm: 'none' }, PASSWORD), null)
  t.end()
})

t.test('costs stand in the hash, which logs in with another implementation', async (t) => {
  const cheap = [
    ['$argon2id$v=19$m=64,t=3,p=4$', { algorithm: 'argon2id', memory_kib: 64, iterations: 3, parallelism: 4 }],
    ['scrypt:1024:4:3$', { algorithm: 'scrypt', n: 1_024, r: 4, p: 3 }],
    ['$2y$04$', { algorithm: 'bcrypt', cost: 4, prefix: '2y' }],
    ['pbkdf2_sha256$500$', { algorithm: 'pbkdf2_sha256', iterations: 500, salt_bytes: 16 }],
    ['', { algorithm: 'better_auth' }],
  ] as const
  for (const [start, settings] of cheap) {
    const hash = hashPassword(settings, PASSWORD) ?? ''
    t.equal(hash.slice(0, start.length), start)
    t.ok(await verifyLogin(hash, PASSWORD), settings.algorithm)
    t.notOk(await verifyLogin(hash, `${PASSWORD} `), settings.algorithm)
  }
  const salt = hashPassword(cheap[3][1], PASSWORD)?.split('$')[2]
  t.equal(salt?.length, 16)
})
