import { hashScrypt, SCRYPT_COSTS } from '../../src/passwords/hash-algorithms.ts'
import { isFull } from '../size.ts'
import { suite } from '../suite.ts'
import { verifyLogin } from './verify-login.ts'

const t = suite()

const CHEAP = { n: 64, r: 8, p: 1 }

if (isFull) {
  t.test('hashScrypt reproduces the hash of RFC 7914 section 12 (N = 16384, r = 8, p = 1)', (t) => {
    const hash =
      '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2' +
      'd5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887'
    t.equal(
      hashScrypt('pleaseletmein', { n: 16_384, r: 8, p: 1 }, 'SodiumChloride'),
      `scrypt:16384:8:1$SodiumChloride$${hash}`,
    )
    t.end()
  })
}

t.test('hashScrypt reproduces a hash of Werkzeug (the command line example of PyPI WerkzeugSecurityCLI 1.1.0)', (t) => {
  const hash =
    '6d49052bdf9cffb2288d7cb198d7bed5566f284932dad0c74b3948866b146822' +
    '0afd93e9aa17069c4a2403d33747e5e71981c3c552d751a0e249642b6641bac5'
  t.equal(
    hashScrypt('my-test-password-123', SCRYPT_COSTS, 'pyMfKdIqwYxw0GOT'),
    `scrypt:32768:8:1$pyMfKdIqwYxw0GOT$${hash}`,
  )
  t.end()
})

t.test('another implementation accepts the password for the hash, and no other password', async (t) => {
  const password = 'pässwörd ☃ 😀'
  const text = hashScrypt(password, CHEAP)
  t.match(text, /^scrypt:64:8:1\$[A-Za-z0-9]{16}\$[0-9a-f]{128}$/, 'as long as Werkzeug’s hashes')
  t.ok(await verifyLogin(text, password))
  t.notOk(await verifyLogin(text, `${password} `))
  t.not(hashScrypt(password, CHEAP), text, 'random salt')
})

t.test('makes the other hashes of RFC 7914 section 12', (t) => {
  const hash = (costs: { n: number; r: number; p: number }, password: string, salt: string) =>
    hashScrypt(password, costs, salt).split('$')[2]?.slice(0, 32)
  t.equal(hash({ n: 16, r: 1, p: 1 }, '', ''), '77d6576238657b203b19ca42c18a0497')
  if (isFull) t.equal(hash({ n: 1_024, r: 8, p: 16 }, 'password', 'NaCl'), 'fdbabe1c9d3472007856e7190d01e9fe')
  t.end()
})
