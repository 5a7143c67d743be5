import { sql } from 'drizzle-orm'
import { check, integer, pgTable, text } from 'drizzle-orm/pg-core'
import { bigNumber, bytewiseText, time } from '../database/columns.ts'

export const pools = pgTable(
  'pools',
  {
    id: integer('id').primaryKey().generatedByDefaultAsIdentity({ startWith: 2 }),
    name: bytewiseText('name').notNull().unique(),
    nextUserNumber: bigNumber('next_user_number').notNull().default(1),
    nextCredentialId: bigNumber('next_credential_id').notNull().default(1),
    createdAt: time('created_at').notNull().defaultNow(),
    /** When the pool became a replica, which only exports write. Null if it is not a replica. */
    replicaSince: time('replica_since'),
    /** Which users a replica copies from its source. */
    mirrors: text('mirrors', { enum: ['test_users', 'everything'] })
      .notNull()
      .default('test_users'),
  },
  () => [check('pools_mirrors', sql`mirrors in ('test_users', 'everything')`)],
)
