import { sql } from 'drizzle-orm'
import { boolean, check, pgTable } from 'drizzle-orm/pg-core'
import { bytes } from '../database/columns.ts'

/** One row: a text encrypted with the service's key, so that a replica with another key fails at startup. */
export const encryptionKeyCheck = pgTable(
  'encryption_key_check',
  {
    id: boolean('id').primaryKey().default(true),
    ciphertext: bytes('ciphertext').notNull(),
  },
  () => [check('encryption_key_check_one_row', sql`id`)],
)
