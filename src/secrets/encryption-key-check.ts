import type { Sql } from 'postgres'
import { decrypt, encrypt, loadEncryptionKey, OTHER_KEY } from './encryption.ts'

/** The plaintext of the check, also used as its context. */
const SEALED = 'usersync encryption key check'

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
