import { bytes } from '../database/columns.ts'
import { boolean, check, pgTable, sql } from '../database/drizzle.ts'

/** One row: a text that only the service's encryption key opens, so that a replica with another key is told at its start. */
export const encryptionKeyCheck = pgTable(
  'encryption_key_check',
  {
    id: boolean('id').primaryKey().default(true),
    ciphertext: bytes('ciphertext').notNull(),
  },
  () => [check('encryption_key_check_one_row', sql`id`)],
)
