import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, randomUUID } from 'node:crypto'
import { link, mkdir, open, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Sql } from 'postgres'
import { syncFolder } from '../process/sync-folder.ts'

const NONCE_BYTES = 12
const TAG_BYTES = 16

/** Derives a key for one purpose from the service's encryption key, which is used for nothing else (HKDF, RFC 5869). */
export const deriveKey = (encryptionKey: Buffer, purpose: string): Buffer =>
  Buffer.from(hkdfSync('sha256', encryptionKey, '', `usersync ${purpose}`, 32))

/**
 * Encrypts with AES-256-GCM: nonce, tag, ciphertext. The context (such as the batch id) is authenticated, so a ciphertext cannot be
 * moved to another row.
 */
export function encrypt(encryptionKey: Buffer, plaintext: string, context: string): Buffer {
  const key = deriveKey(encryptionKey, 'encryption')
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(context))
  const ciphertext = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final()])
  return Buffer.concat([nonce, cipher.getAuthTag(), ciphertext])
}

/** Decrypts the result of `encrypt`. Throws if the key or the context differs, or a bit changed. */
export function decrypt(encryptionKey: Buffer, sealed: Buffer, context: string): string {
  const key = deriveKey(encryptionKey, 'encryption')
  const nonce = sealed.subarray(0, NONCE_BYTES)
  const tag = sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES)
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(Buffer.from(context)).setAuthTag(tag)
  const ciphertext = sealed.subarray(NONCE_BYTES + TAG_BYTES)
  return Buffer.concat([decipher.update(ciphertext), decipher.final()]).toString('utf8')
}

/** Why a service does not start with this key. */
const OTHER_KEY =
  'the passwords in this database are encrypted with another key: set ENCRYPTION_KEY (or keep DATA_DIR/encryption.key) the same for all replicas'

/** Returns the configured key, or that of `dataDir`. Throws what `loadEncryptionKey` and `checkEncryptionKey` throw. */
export async function openEncryptionKey(sql: Sql, config: { encryptionKey: string; dataDir: string }): Promise<Buffer> {
  const isFirst = await lacksKey(sql)
  const key = await loadEncryptionKey(config.encryptionKey, config.dataDir, isFirst)
  await checkEncryptionKey(sql, key)
  return key
}

/** Whether no service has set the key of this database. Otherwise a lost key file must not be replaced by a new one. */
async function lacksKey(sql: Sql): Promise<boolean> {
  const { count } = await sql`select from encryption_key_check`
  return count === 0
}

/**
 * Returns the key of the setting (64 hex digits) or, if that is empty, the one in `dataDir`. Without a file there, it creates one if
 * `isFirst`: the database is not in use with a lost key. The file is linked into place when it is complete and synced to disk: two
 * services that start at once agree on one key, and a power cut cannot lose a key that is in use. Throws an Error if the file has no
 * valid key, or other users can read it.
 */
export async function loadEncryptionKey(configured: string, dataDir: string, isFirst: boolean): Promise<Buffer> {
  if (configured !== '') return Buffer.from(configured, 'hex')
  const file = join(dataDir, 'encryption.key')
  try {
    return await readKey(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  if (!isFirst) throw new Error(OTHER_KEY)
  await mkdir(dataDir, { recursive: true })
  const draft = `${file}.${randomUUID()}`
  await writeFile(draft, randomBytes(32).toString('hex'), { mode: 0o600, flush: true })
  try {
    await link(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await unlink(draft)
  }
  await syncFolder(dataDir)
  return readKey(file)
}

async function readKey(file: string): Promise<Buffer> {
  const handle = await open(file)
  try {
    const { mode } = await handle.stat()
    if (mode & OTHERS) throw new Error(openToOthers(file, mode))
    const text = (await handle.readFile('utf8')).trim()
    if (!/^[0-9a-f]{64}$/i.test(text)) throw new Error(`${file} does not contain an encryption key of 64 hex digits`)
    return Buffer.from(text, 'hex')
  } finally {
    await handle.close()
  }
}

/** The mode bits of other users. The group's bits are ignored: Kubernetes sets them on volumes (`fsGroup`). */
const OTHERS = 0o007

const openToOthers = (file: string, mode: number) =>
  `${file} is open to every user of this machine (mode ${(mode & 0o777).toString(8)}). Run: chmod 600 ${file}. Where the file system has no modes, set ENCRYPTION_KEY instead`

/** The plaintext of the check, also used as its context. */
const SEALED = 'usersync encryption key check'

/**
 * Checks that the key is the one that encrypts the passwords in the database. The first service that starts on a database sets it.
 * Throws an Error otherwise: a replica with another key would fail every batch whose chunks it takes, and could not export
 * passwords.
 */
export async function checkEncryptionKey(sql: Sql, key: Buffer): Promise<void> {
  await sql`
    insert into encryption_key_check (ciphertext) values (${encrypt(key, SEALED, SEALED)}) on conflict do nothing`
  const [row] = await sql<{ ciphertext: Buffer }[]>`select ciphertext from encryption_key_check`
  try {
    if (row && decrypt(key, row.ciphertext, SEALED) === SEALED) return
  } catch {
    // another key
  }
  throw new Error(OTHER_KEY)
}
