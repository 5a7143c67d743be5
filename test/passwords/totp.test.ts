import { createOTP } from '@better-auth/utils/otp'
import fc from 'fast-check'
import {
  base32,
  deriveTotpSecret,
  makeTotpKey,
  openTotpKey,
  sealTotpKey,
  totpCode,
  totpUri,
} from '../../src/passwords/totp.ts'
import { suite } from '../suite.ts'

const t = suite()

const RFC_SECRET = Buffer.from('12345678901234567890')
const KEY = '00'.repeat(32)
const USER = '01890000-0000-7000-8000-000000000001'

t.test('makes the codes of RFC 6238 appendix B (their last six digits)', (t) => {
  for (const [seconds, code] of [
    [59, '94287082'],
    [1_111_111_109, '07081804'],
    [1_111_111_111, '14050471'],
    [1_234_567_890, '89005924'],
    [2_000_000_000, '69279037'],
    [20_000_000_000, '65353130'],
  ] as const) {
    t.equal(totpCode(RFC_SECRET, seconds * 1000).code, code.slice(2), String(seconds))
  }
  t.end()
})

t.test('makes the codes of RFC 4226 appendix D, one each 30 s', (t) => {
  const codes = ['755224', '287082', '359152', '969429', '338314', '254676', '287922', '162583', '399871', '520489']
  for (const [i, code] of codes.entries()) {
    t.strictSame(totpCode(RFC_SECRET, i * 30_000), { code, expiresIn: 30 })
    t.strictSame(totpCode(RFC_SECRET, i * 30_000 + 29_999), { code, expiresIn: 1 })
  }
  t.end()
})

t.test('base32 is that of RFC 4648 section 10, without padding', (t) => {
  const table = { '': '', f: 'MY', fo: 'MZXQ', foo: 'MZXW6', foob: 'MZXW6YQ', fooba: 'MZXW6YTB', foobar: 'MZXW6YTBOI' }
  for (const [text, encoded] of Object.entries(table)) t.equal(base32(Buffer.from(text)), encoded)
  t.end()
})

t.test('another implementation, better-auth’s, accepts the code of any secret', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uuid(), async (key, user) => {
      const secret = deriveTotpSecret(Buffer.from(key).toString('hex'), user)
      // It takes text as the key of HMAC. These bytes are no text, so it gets what base32 writes, and so does totpCode.
      const text = base32(secret)
      const { code } = totpCode(Buffer.from(text), Date.now())
      return await createOTP(text, { digits: 6, period: 30 }).verify(code, { window: 1 })
    }),
    { numRuns: 20 },
  )
})

t.test('a secret has 160 bits, follows from the key and the user alone, and differs for each of both', (t) => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.uuid(), fc.uuid(), (key, otherKey, user, otherUser) => {
      fc.pre(key !== otherKey && user !== otherUser)
      const secret = deriveTotpSecret(key, user)
      return (
        /^[A-Z2-7]{32}$/.test(base32(secret)) &&
        deriveTotpSecret(key, user).equals(secret) &&
        !deriveTotpSecret(otherKey, user).equals(secret) &&
        !deriveTotpSecret(key, otherUser).equals(secret)
      )
    }),
  )
  t.end()
})

t.test('secrets exported so far stay what they are', (t) => {
  t.equal(base32(deriveTotpSecret(KEY, USER)), 'CYUVNJSOFMQ5NCOLGS7BY627ZPQR66S7')
  t.end()
})

t.test('the key is random, of one batch, and does not pass for its password', (t) => {
  const encryptionKey = Buffer.alloc(32, 7)
  const key = makeTotpKey()
  t.match(key, /^[0-9a-f]{64}$/)
  t.not(makeTotpKey(), key)
  const sealed = sealTotpKey(encryptionKey, key, USER)
  t.equal(openTotpKey(encryptionKey, sealed, USER), key)
  t.throws(() => openTotpKey(encryptionKey, sealed, `${USER.slice(0, -1)}2`))
  t.end()
})

t.test('the address is one that authenticator apps read, whatever the name', (t) => {
  t.equal(
    totpUri(RFC_SECRET, 'a+b@example.com'),
    'otpauth://totp/usersync:a%2Bb%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=usersync&algorithm=SHA1&digits=6&period=30',
  )
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (name) => {
      const uri = new URL(totpUri(RFC_SECRET, name))
      return (
        uri.protocol === 'otpauth:' &&
        uri.host === 'totp' &&
        decodeURIComponent(uri.pathname) === `/usersync:${name}` &&
        uri.searchParams.get('secret') === 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ'
      )
    }),
  )
  t.end()
})
