import { hashPbkdf2Sha256, PBKDF2_COSTS } from '../../src/passwords/hash-algorithms.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { verifyLogin } from './verify-login.ts'

const t = suite()

/** The other implementation takes 1 ms for 200 iterations. */
const FEW = { iterations: 100, salt_bytes: 16 }

/** Takes 0.1 s. */
const MANY_ITERATIONS = 'pbkdf2_sha256$390000$seasalt$8xBlGd3jVgvJ+92hWPxi5ww0uuAuAnKgC45eudxro7c='

const DJANGO = /^pbkdf2_sha256\$(\d+)\$([^$]+)\$([A-Za-z0-9+/]{43}=)$/

t.test(
  'hashPbkdf2Sha256 reproduces the hashes in Django’s tests (tests/auth_tests/test_hashers.py of 1.10 and 4.1)',
  (t) => {
    for (const text of [
      'pbkdf2_sha256$30000$seasalt$VrX+V8drCGo68wlvy6rfu8i1d1pfkdeXA4LJkRGJodY=',
      'pbkdf2_sha256$30000$seasalt2$a75qzbogeVhNFeMqhdgyyoqGKpIzYUo651sq57RERew=',
      ...sized([], [MANY_ITERATIONS]),
    ]) {
      const [, iterations, salt = ''] = DJANGO.exec(text) ?? []
      t.equal(hashPbkdf2Sha256('lètmein', { iterations: Number(iterations), salt_bytes: 22 }, salt), text)
    }
    t.end()
  },
)

t.test('hashPbkdf2Sha256 reproduces the first 32 bytes of RFC 7914 section 11', (t) => {
  const hash = (password: string, salt: string, iterations: number) =>
    Buffer.from(
      hashPbkdf2Sha256(password, { iterations, salt_bytes: 22 }, salt).split('$')[3] ?? '',
      'base64',
    ).toString('hex')
  t.equal(hash('passwd', 'salt', 1), '55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc')
  t.equal(hash('Password', 'NaCl', 80_000), '4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56')
  t.end()
})

t.test('another implementation accepts the password for the hash, and no other password', async (t) => {
  const password = 'pässwörd ☃ 😀'
  const text = hashPbkdf2Sha256(password, FEW)
  t.ok(await verifyLogin(text, password))
  t.notOk(await verifyLogin(text, `${password} `))
  t.not(hashPbkdf2Sha256(password, FEW), text, 'random salt')
})

t.test('Django 6.1 does not rehash at login: same iterations and kind of salt', (t) => {
  t.equal(PBKDF2_COSTS.iterations, 1_500_000)
  const [, , salt = ''] = DJANGO.exec(hashPbkdf2Sha256('x', { ...PBKDF2_COSTS, iterations: 1 })) ?? []
  t.match(salt, /^[A-Za-z0-9]{22}$/, 'passlib rejects other characters')
  t.end()
})
