import { argon2Sync } from 'node:crypto'
import t from 'tap'
import { hashArgon2id } from '../../src/passwords/argon2id.ts'

/*
 * The vector of RFC 9106 section 5.3 has a secret and associated data, which our hashes have not. So a hash is taken
 * apart as a verifying library does, and computed again from what it says of itself.
 */
const PHC = /^\$argon2id\$v=(\d+)\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/

function verify(phc: string, password: string): boolean {
  const [, , memory = '', passes = '', lanes = '', salt = '', hash = ''] = PHC.exec(phc) ?? []
  const expected = Buffer.from(hash, 'base64')
  return argon2Sync('argon2id', {
    message: password,
    nonce: Buffer.from(salt, 'base64'),
    memory: Number(memory),
    passes: Number(passes),
    parallelism: Number(lanes),
    tagLength: expected.length,
  }).equals(expected)
}

t.test('a hash verifies by what it says of itself, for its password alone, and is salted', (t) => {
  const password = 'pässwörd ☃ 😀'
  const phc = hashArgon2id(password)
  t.match(phc, PHC)
  t.ok(verify(phc, password))
  t.notOk(verify(phc, `${password} `))
  t.not(hashArgon2id(password), phc)
  t.end()
})

t.test('takes at least what OWASP asks for', (t) => {
  const [, version, memory, passes, lanes, salt = '', hash = ''] = PHC.exec(hashArgon2id('x')) ?? []
  t.strictSame([version, memory, passes, lanes], ['19', '19456', '2', '1'])
  t.equal(Buffer.from(salt, 'base64').length, 16)
  t.equal(Buffer.from(hash, 'base64').length, 32)
  t.end()
})
