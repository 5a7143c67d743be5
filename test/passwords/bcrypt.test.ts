import { hashBcrypt, MAX_BCRYPT_BYTES } from '../../src/passwords/hash-algorithms.ts'
import { suite } from '../suite.ts'
import { verifyLogin } from './verify-login.ts'

const t = suite()

/** The lowest cost: a hash takes 2 ms. */
const CHEAP = { cost: 4, prefix: '2b' } as const

const SALT = '$2b$04$cVWp4XaNU8a4v1uMRum2SO'

const DIGITS_AND_LETTERS = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'

/** From crypt_blowfish (Openwall, wrapper.c), pyca/bcrypt (tests/test_bcrypt.py) and, for UTF-8, passlib. */
const VECTORS = [
  ['U*U', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.', 'E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'],
  ['U*U*', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.', 'VGOzA784oUp/Z0DY336zx7pLYAy0lwK'],
  ['U*U*U', '$2a$05$XXXXXXXXXXXXXXXXXXXXXO', 'AcXxm9kjPGEMsLznoKqmqw7tc8WCx4a'],
  [DIGITS_AND_LETTERS, '$2a$05$abcdefghijklmnopqrstuu', '5s2v8.iXieOjg/.AySBTTZIIVFJeBui'],
  ['Kk4DQuMMfZL9o', '$2b$04$cVWp4XaNU8a4v1uMRum2SO', '026BWLIoQMD/TXg5uZV.0P.uO8m3YEm'],
  ['tEPtJZXur16Vg', '$2b$04$2moPs/x/wnCfeQ5pCheMcu', 'SJQ/KYjOZG780UjA/SiR.KsYWNrC7SG'],
  ['t\u00e1\u0411\u2113\u0259', '$2b$05$Z17AXnnlpzddNUvnC6cZNO', 'SwMA/8oNiKnHTHTwLlBijfucQQlHjaG'],
] as const

t.test('hashBcrypt reproduces the reference vectors', (t) => {
  for (const [password, salt, hash] of VECTORS) t.equal(hashBcrypt(password, CHEAP, salt), salt + hash, password)
  t.end()
})

t.test('another implementation accepts the password for the hash, and no other password', async (t) => {
  const password = 'pässwörd ☃ 😀'
  const hash = hashBcrypt(password, CHEAP)
  t.match(hash, /^\$2b\$04\$[./A-Za-z0-9]{53}$/)
  t.ok(await verifyLogin(hash, password))
  t.notOk(await verifyLogin(hash, `${password} `))
  t.not(hashBcrypt(password, CHEAP), hash, 'random salt')
})

t.test('a password has at most 72 bytes, and every one counts', async (t) => {
  for (const longest of ['a'.repeat(72), 'é'.repeat(36), '😀'.repeat(18)]) {
    t.equal(Buffer.byteLength(longest), MAX_BCRYPT_BYTES)
    const hash = hashBcrypt(longest, CHEAP, SALT)
    t.ok(await verifyLogin(hash, longest))
    t.notOk(await verifyLogin(hash, longest.slice(0, -1)))
    t.throws(() => hashBcrypt(`${longest}a`, CHEAP, SALT), { name: 'RangeError', message: /at most 72 bytes/ })
  }
})

t.test('a NUL is rejected, because crypt(3) would ignore everything after it', (t) => {
  t.throws(() => hashBcrypt('abc\0def', CHEAP, SALT), { name: 'RangeError', message: /NUL/ })
  t.end()
})

t.test('the hash contains the cost and the prefix; 2y is the same algorithm', async (t) => {
  const hash = hashBcrypt('pässwörd', { cost: 5, prefix: '2y' })
  t.match(hash, /^\$2y\$05\$[./A-Za-z0-9]{53}$/)
  t.ok(await verifyLogin(hash, 'pässwörd'))
  t.equal(hashBcrypt('x', { cost: 4, prefix: '2y' }, SALT), hashBcrypt('x', CHEAP, SALT).replace('$2b$', '$2y$'))
  t.end()
})

t.test('wp$2y hashes as WordPress 6.8 does: passwords of any length, trimmed', (t) => {
  const wordPress = (password: string, cost = 4, salt = SALT) => hashBcrypt(password, { cost, prefix: 'wp$2y' }, salt)
  const made = '$wp$2y$10$qeleDSuDaeZO5fBsEqFReeWdlqaDnBDBzB16hFgsFnhN9qFBIihvm'
  t.equal(wordPress('BigBike@2026', 10, '$2b$10$qeleDSuDaeZO5fBsEqFRee'), made)
  t.equal(wordPress(' \t\n\r\0\vx\u00a0\v\0\r\n\t '), wordPress('x\u00a0'), 'PHP’s trim() keeps a no-break space')
  t.not(wordPress('a'.repeat(100)), wordPress('a'.repeat(101)))
  t.end()
})
