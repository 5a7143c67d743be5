import { hashArgon2id } from '../../src/passwords/hash-algorithms.ts'
import { suite } from '../suite.ts'
import { verifyLogin } from './verify-login.ts'

const t = suite()

const CHEAP = { memory_kib: 64, iterations: 2, parallelism: 1 }

const PHC = /^\$argon2id\$v=(\d+)\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/

t.test('another implementation accepts the password for the hash, and no other password', async (t) => {
  const password = 'pässwörd ☃ 😀'
  const phc = hashArgon2id(password, CHEAP)
  t.match(phc, PHC)
  t.ok(await verifyLogin(phc, password))
  t.notOk(await verifyLogin(phc, `${password} `))
  t.not(hashArgon2id(password, CHEAP), phc, 'random salt')
})

t.test('the parameters meet the OWASP minimum', (t) => {
  const [, version, memory, passes, lanes, salt = '', hash = ''] = PHC.exec(hashArgon2id('x')) ?? []
  t.strictSame([version, memory, passes, lanes], ['19', '19456', '2', '1'])
  t.equal(Buffer.from(salt, 'base64').length, 16)
  t.equal(Buffer.from(hash, 'base64').length, 32)
  t.end()
})
