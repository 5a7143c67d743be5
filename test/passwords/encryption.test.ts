import { createDecipheriv, randomBytes } from 'node:crypto'
import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import type { Test } from 'tap'
import { decrypt, deriveKey, encrypt, loadEncryptionKey } from '../../src/secrets/encryption.ts'
import { suite } from '../suite.ts'

const t = suite()

const text = fc.string({ unit: 'grapheme' })
const key = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(Buffer.from)

t.test('decrypting returns the encrypted text', (t) => {
  fc.assert(
    fc.property(key, text, text, (key, plaintext, context) => {
      return decrypt(key, encrypt(key, plaintext, context), context) === plaintext
    }),
  )
  t.end()
})

t.test('encrypting the same text twice gives different results, and neither contains it', (t) => {
  const key = randomBytes(32)
  const sealed = [encrypt(key, 'TestPass123!', 'batch'), encrypt(key, 'TestPass123!', 'batch')]
  t.notOk(sealed[0]?.equals(sealed[1] as Buffer))
  for (const each of sealed) t.notOk(each.includes('TestPass123!'))
  t.end()
})

t.test('another key, another context, a flipped bit or a missing end is rejected', (t) => {
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

t.test('a configured key is used unchanged', async (t) => {
  const dataDir = t.testdir()
  t.equal((await loadEncryptionKey('0Aff'.repeat(16), dataDir, true)).toString('hex'), '0aff'.repeat(16))
  t.strictSame(await readdir(dataDir), [], 'no key file is created')
})

t.test('the key file is created once, readable only by its owner', async (t) => {
  const dataDir = join(t.testdir(), 'made', 'if', 'missing')
  const key = await loadEncryptionKey('', dataDir, true)
  t.equal(key.length, 32)
  t.ok((await loadEncryptionKey('', dataDir, true)).equals(key))
  t.strictSame(await readdir(dataDir), ['encryption.key'], 'no other file is left')
  t.equal((await stat(join(dataDir, 'encryption.key'))).mode & 0o777, 0o600)
  t.notOk((await loadEncryptionKey('', t.testdir(), true)).equals(key))
})

// Two services in containers that share the folder can have the same process id, so one process stands for both.
t.test('services that start at once use the same key', async (t) => {
  for (let round = 0; round < 20; round++) {
    const dataDir = t.testdir({})
    const keys = await Promise.all([1, 2, 3].map(() => loadEncryptionKey('', dataDir, true)))
    const kept = (await readFile(join(dataDir, 'encryption.key'), 'utf8')).trim()
    t.strictSame(new Set(keys.map((each) => each.toString('hex'))), new Set([kept]))
    t.strictSame(await readdir(dataDir), ['encryption.key'])
  }
})

/** A data folder with this key file. */
async function dataDirWith(t: Test, content: string, mode = 0o600): Promise<{ dataDir: string; file: string }> {
  const dataDir = t.testdir({})
  const file = join(dataDir, 'encryption.key')
  await writeFile(file, content)
  await chmod(file, mode)
  return { dataDir, file }
}

t.test('an invalid key file is rejected by name and not overwritten', async (t) => {
  const { dataDir, file } = await dataDirWith(t, 'ab12')
  await t.rejects(loadEncryptionKey('', dataDir, true), { message: /encryption\.key/ })
  t.equal(await readFile(file, 'utf8'), 'ab12')
  await writeFile(file, `${'ab'.repeat(32)}\n`)
  t.equal((await loadEncryptionKey('', dataDir, true)).toString('hex'), 'ab'.repeat(32), 'a line break may follow')
})

t.test('a key that every user of the machine can read or replace is rejected, with what to do', async (t) => {
  for (const mode of [0o666, 0o644, 0o602, 0o604]) {
    const { dataDir, file } = await dataDirWith(t, 'ab'.repeat(32), mode)
    const text = mode.toString(8)
    await t.rejects(
      loadEncryptionKey('', dataDir, true),
      { message: new RegExp(`\\(mode ${text}\\)\\. Run: chmod 600 ${file}`) },
      text,
    )
  }
  for (const mode of [0o400, 0o600, 0o660]) {
    const { dataDir } = await dataDirWith(t, 'ab'.repeat(32), mode)
    t.equal((await loadEncryptionKey('', dataDir, true)).length, 32, mode.toString(8))
  }
})

t.test('each purpose has its own derived key, and the key itself encrypts nothing', (t) => {
  const key = randomBytes(32)
  const keys = [
    key,
    deriveKey(key, 'encryption'),
    deriveKey(key, 'idempotency'),
    deriveKey(randomBytes(32), 'encryption'),
  ]
  t.equal(new Set(keys.map((each) => each.toString('hex'))).size, keys.length)
  t.ok(deriveKey(key, 'encryption').equals(deriveKey(key, 'encryption')))
  const sealed = encrypt(key, 'text', 'context')
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12))
  decipher.setAAD(Buffer.from('context')).setAuthTag(sealed.subarray(12, 28))
  decipher.update(sealed.subarray(28))
  t.throws(() => decipher.final())
  t.end()
})
