import { sql } from 'drizzle-orm'
import { bigint, boolean, index, integer, pgTable, primaryKey, unique, uuid } from 'drizzle-orm/pg-core'
import { bigNumber, bytewiseText, time } from '../database/columns.ts'

/** The key of a scope is its filter. The two flags restrict it to test users and to users created in bulk. */
const scopeKey = {
  poolId: integer('pool_id').notNull(),
  batchId: uuid('batch_id').notNull(),
  testUsersOnly: boolean('test_users_only').notNull(),
  bulkUsersOnly: boolean('bulk_users_only').notNull(),
}

/** The current version and digest of each scope. A word stores 64 unsigned bits in a signed column. */
export const scopes = pgTable(
  'scopes',
  {
    ...scopeKey,
    version: bigNumber('version').notNull(),
    userCount: bigNumber('user_count').notNull(),
    word0: bigint('word_0', { mode: 'bigint' }).notNull(),
    word1: bigint('word_1', { mode: 'bigint' }).notNull(),
    word2: bigint('word_2', { mode: 'bigint' }).notNull(),
    word3: bigint('word_3', { mode: 'bigint' }).notNull(),
  },
  (t) => [primaryKey({ columns: [t.poolId, t.batchId, t.testUsersOnly, t.bulkUsersOnly] })],
)

/** The history of each scope: which commit created which version, and the resulting state. */
export const states = pgTable(
  'states',
  {
    ...scopeKey,
    version: bigNumber('version').notNull(),
    commitId: bigNumber('commit_id').notNull(),
    state: bytewiseText('state').notNull(),
    recordedAt: time('recorded_at').notNull().default(sql`clock_timestamp()`),
    /** When the commit's tombstones were deleted; no delta can cross it. Null if they still exist. */
    prunedAt: time('pruned_at'),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.batchId, t.testUsersOnly, t.bulkUsersOnly, t.version] }), // commits since a base
    unique('states_commit').on(t.poolId, t.commitId, t.batchId, t.testUsersOnly, t.bulkUsersOnly), // the states that a commit created
    index('states_state').on(t.poolId, t.batchId, t.testUsersOnly, t.bulkUsersOnly, t.state, t.version), // base look-up
    index('states_pruned') // how far a scope is pruned
      .on(t.poolId, t.batchId, t.testUsersOnly, t.bulkUsersOnly, t.version)
      .where(sql`pruned_at is not null`),
  ],
)

/** An ended stay of a user in a part of the pool (batch and flags): the user was deleted, or moved to another part. */
export const tombstones = pgTable(
  'tombstones',
  {
    poolId: integer('pool_id').notNull(),
    leftCommitId: bigNumber('left_commit_id').notNull(),
    userId: uuid('user_id').notNull(),
    batchId: uuid('batch_id'),
    isTestUser: boolean('is_test_user').notNull(),
    createdByBulk: boolean('created_by_bulk').notNull(),
    enteredCommitId: bigNumber('entered_commit_id').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.leftCommitId, t.userId] }), // deletions of the commits since the base
    index('tombstones_user').on(t.poolId, t.userId), // whether a current user was in the base
  ],
)
