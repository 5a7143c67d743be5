import { randomBytes } from 'node:crypto'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { decrypt, encrypt, loadEncryptionKey } from '../../src/passwords/encryption.ts'

const text = fc.string({ unit: 'grapheme' })
const key = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(Buffer.from)

t.test('what was encrypted is decrypted', (t) => {
  fc.assert(
    fc.property(key, text, text, (key, plaintext, context) => {
      return decrypt(key, encrypt(key, plaintext, context), context) === plaintext
    }),
  )
  t.end()
})

t.test('the same text never looks the same, nor shows', (t) => {
  const key = randomBytes(32)
  const sealed = [encrypt(key, 'TestPass123!', 'batch'), encrypt(key, 'TestPass123!', 'batch')]
  t.notOk(sealed[0]?.equals(sealed[1] as Buffer))
  for (const each of sealed) t.notOk(each.includes('TestPass123!'))
  t.end()
})

t.test('another key, another context, a changed bit or a missing end is refused', (t) => {
  fc.assert(
    fc.property(key, key, text, text, fc.nat(), (key, otherKey, plaintext, context, place) => {
      fc.pre(!key.equals(otherKey))
      const sealed = encrypt(key, plaintext, context)
      const flipped = Buffer.from(sealed)
      const bit = place % (sealed.length * 8)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      return [
        () => decrypt(otherKey, sealed, context),
        () => decrypt(key, sealed, `${context} `),
        () => decrypt(key, flipped, context),
        () => decrypt(key, sealed.subarray(0, place % sealed.length), context),
      ].every(throws)
    }),
  )
  t.end()
})

function throws(run: () => unknown): boolean {
  try {
    run()
    return false
  } catch {
    return true
  }
}

t.test('the key of the setting is taken as it is', async (t) => {
  const dataDir = t.testdir()
  t.equal((await loadEncryptionKey('0Aff'.repeat(16), dataDir)).toString('hex'), '0aff'.repeat(16))
  t.strictSame(await readdir(dataDir), [], 'and none is made')
})

t.test('a key is made once, for its owner alone', async (t) => {
  const dataDir = join(t.testdir(), 'made', 'if', 'missing')
  const key = await loadEncryptionKey('', dataDir)
  t.equal(key.length, 32)
  t.ok((await loadEncryptionKey('', dataDir)).equals(key))
  t.strictSame(await readdir(dataDir), ['encryption.key'], 'nothing else stays')
  t.equal((await stat(join(dataDir, 'encryption.key'))).mode & 0o777, 0o600)
  t.notOk((await loadEncryptionKey('', t.testdir())).equals(key))
})

// Two services in containers that share the folder have the same process id, so one process stands for both.
t.test('services that start at once agree on one key', async (t) => {
  for (let round = 0; round < 20; round++) {
    const dataDir = t.testdir({})
    const keys = await Promise.all([1, 2, 3].map(() => loadEncryptionKey('', dataDir)))
    const kept = (await readFile(join(dataDir, 'encryption.key'), 'utf8')).trim()
    t.strictSame(new Set(keys.map((each) => each.toString('hex'))), new Set([kept]))
    t.strictSame(await readdir(dataDir), ['encryption.key'])
  }
})

t.test('a file that holds no key is refused by name, not overwritten', async (t) => {
  const dataDir = t.testdir({ 'encryption.key': 'ab12' })
  await t.rejects(loadEncryptionKey('', dataDir), { message: /encryption\.key/ })
  t.equal(await readFile(join(dataDir, 'encryption.key'), 'utf8'), 'ab12')
  await writeFile(join(dataDir, 'encryption.key'), `${'ab'.repeat(32)}\n`)
  t.equal((await loadEncryptionKey('', dataDir)).toString('hex'), 'ab'.repeat(32), 'a line end may follow')
})
