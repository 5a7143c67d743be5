import { sql } from 'drizzle-orm'
import {
  boolean,
  check,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'
import { bigNumber, bytewiseText, time } from '../database/columns.ts'

/** Plain SQL may write this table. Columns that a writer omits get defaults, and triggers always set the two stamps. */
export const users = pgTable(
  'users',
  {
    poolId: integer('pool_id').notNull().default(1),
    id: uuid('id').notNull().default(sql`uuid_v7()`),
    username: bytewiseText('username').notNull(),
    email: bytewiseText('email').notNull(),
    role: text('role').notNull().default('user'),
    isTestUser: boolean('is_test_user').notNull().default(true),
    batchId: uuid('batch_id'),
    createdByBulk: boolean('created_by_bulk').notNull().default(false),
    customAttributes: jsonb('custom_attributes').$type<Record<string, unknown>>().notNull().default({}),
    createdAt: time('created_at').notNull().defaultNow(),
    updatedAt: time('updated_at').notNull().defaultNow(),
    credentialId: bigNumber('credential_id'),
    /** The transaction that last wrote the row. */
    commitId: bigNumber('commit_id').notNull().default(sql`currval('commit_ids')`),
    /** The transaction since which the row has its current id and part (batch, is_test_user, created_by_bulk). */
    enteredCommitId: bigNumber('entered_commit_id').notNull().default(sql`currval('commit_ids')`),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.id] }), // full export and listing, page by page
    uniqueIndex('users_username').on(t.poolId, t.username),
    uniqueIndex('users_email').on(t.poolId, t.email),
    index('users_commit').on(t.poolId, t.commitId), // delta: rows written by the commits since the base
    index('users_batch').on(t.poolId, t.batchId, t.id), // export, listing and deletion of one batch
    index('users_created').on(t.poolId, t.createdAt, t.username.desc().nullsFirst()), // listing by time, both ways
    check('users_username_length', sql`char_length(username) between 1 and 254`),
    check('users_email_length', sql`char_length(email) between 1 and 254`),
    check('users_role_length', sql`char_length(role) between 1 and 64`),
    check('users_custom_attributes_object', sql`jsonb_typeof(custom_attributes) = 'object'`),
    check(
      'users_times_have_four_digit_years',
      sql`created_at >= '0001-01-01 00:00:00+00' and created_at < '10000-01-01 00:00:00+00' and updated_at >= '0001-01-01 00:00:00+00' and updated_at < '10000-01-01 00:00:00+00'`,
    ),
  ],
)
