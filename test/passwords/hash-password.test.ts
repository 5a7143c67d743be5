import { ALGORITHMS, DEFAULT_COSTS, hashPassword, withCosts } from '../../src/passwords/hash-password.ts'
import { suite } from '../suite.ts'
import { verifyLogin } from './verify-login.ts'

const t = suite()

const PASSWORD = 'pässwörd ☃ 😀'

t.test('each algorithm has its default costs if none are given', (t) => {
  t.strictSame(
    ALGORITHMS.map((algorithm) => withCosts({ algorithm })),
    [
      { algorithm: 'argon2id', memory_kib: 19_456, iterations: 2, parallelism: 1 },
      { algorithm: 'scrypt', n: 32_768, r: 8, p: 1 },
      { algorithm: 'bcrypt', cost: 10, prefix: '2b' },
      { algorithm: 'pbkdf2_sha256', iterations: 1_500_000, salt_bytes: 22 },
      { algorithm: 'better_auth' },
      { algorithm: 'none' },
    ],
  )
  t.strictSame(Object.keys(DEFAULT_COSTS), ALGORITHMS)
  t.end()
})

t.test('each algorithm writes its own format with its costs, which logs in with another implementation', async (t) => {
  const cheap = [
    ['$argon2id$v=19$m=64,t=3,p=4$', { algorithm: 'argon2id', memory_kib: 64, iterations: 3, parallelism: 4 }],
    ['scrypt:1024:4:3$', { algorithm: 'scrypt', n: 1_024, r: 4, p: 3 }],
    ['$2y$04$', { algorithm: 'bcrypt', cost: 4, prefix: '2y' }],
    ['pbkdf2_sha256$500$', { algorithm: 'pbkdf2_sha256', iterations: 500, salt_bytes: 16 }],
  ] as const
  for (const [start, settings] of cheap) {
    const hash = hashPassword(settings, PASSWORD) ?? ''
    t.equal(hash.slice(0, start.length), start)
    t.ok(await verifyLogin(hash, PASSWORD), settings.algorithm)
    t.notOk(await verifyLogin(hash, `${PASSWORD} `), settings.algorithm)
  }
  const salt = hashPassword(cheap[3][1], PASSWORD)?.split('$')[2]
  t.equal(salt?.length, 16)
  t.equal(hashPassword({ algorithm: 'none' }, PASSWORD), null)
})
