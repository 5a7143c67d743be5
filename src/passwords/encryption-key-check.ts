import type { Sql } from 'postgres'
import { decrypt, encrypt } from './encryption.ts'

/** What the check seals, and the context that it is bound to. */
const SEALED = 'usersync encryption key check'

/**
 * Makes sure that the key is the one that the database's passwords are encrypted with; the first service to start on a
 * database settles it. Throws an Error that says so where the key is another: a replica with a key of its own would fail
 * every batch whose chunks it took, and tell no password.
 */
export async function checkEncryptionKey(sql: Sql, key: Buffer): Promise<void> {
  await sql`
    insert into encryption_key_check (ciphertext) values (${encrypt(key, SEALED, SEALED)}) on conflict do nothing`
  const [row] = await sql<{ ciphertext: Buffer }[]>`select ciphertext from encryption_key_check`
  try {
    if (row && decrypt(key, row.ciphertext, SEALED) === SEALED) return
  } catch {
    // another key: told below
  }
  throw new Error(
    'the passwords in this database are encrypted with another key: set ENCRYPTION_KEY (or keep DATA_DIR/encryption.key) the same for all replicas',
  )
}
