import { sql } from 'drizzle-orm'
import { check, foreignKey, index, integer, pgTable, primaryKey, text, uniqueIndex, uuid } from 'drizzle-orm/pg-core'
import { bigNumber, bytes, bytewiseText, time } from '../database/columns.ts'
import { pools } from '../pools/tables.ts'

/** Pools from which users were leased, and how far `lease_users` follows their users; see fill.ts. */
export const leasePools = pgTable(
  'lease_pools',
  {
    poolId: integer('pool_id').primaryKey(),
    /** The version of the pool's scope of test users up to which changes are in `lease_users`. */
    version: bigNumber('version').notNull(),
    /** The users with lower ids are not in `lease_users` yet. Null: all are. */
    scanBefore: uuid('scan_before'),
  },
  (t) => [
    foreignKey({ name: 'lease_pools_of_pool', columns: [t.poolId], foreignColumns: [pools.id] }).onDelete('cascade'),
  ],
)

/** The users that can be leased. Apart from `users`, so that a lease writes no user and is no part of a state. */
export const leaseUsers = pgTable(
  'lease_users',
  {
    poolId: integer('pool_id').notNull(),
    userId: uuid('user_id').notNull(),
    batchId: uuid('batch_id'),
    /** `gone`: the user was deleted, or is no test user any more. */
    status: text('status', { enum: ['free', 'leased', 'dirty', 'consumed', 'gone'] })
      .notNull()
      .default('free'),
    /** How often the user was leased. */
    uses: integer('uses').notNull().default(0),
    /** Random, and new with every lease: the place in the order `random`. */
    draw: integer('draw').notNull(),
    /** The present lease, or the last one. */
    leaseId: uuid('lease_id'),
    /** What the holder wrote when it returned the user. */
    note: text('note'),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.userId] }), // order `sequence`; return, and look-up of one user
    index('lease_users_free').on(t.poolId, t.uses, t.userId).where(sql`status = 'free'`), // order `least_used`
    index('lease_users_free_of_batch').on(t.poolId, t.batchId, t.uses, t.userId).where(sql`status = 'free'`), // in a batch
    index('lease_users_free_by_draw').on(t.poolId, t.draw, t.batchId).where(sql`status = 'free'`), // order `random`
    index('lease_users_used').on(t.poolId, t.userId).where(sql`status in ('dirty', 'consumed')`), // reset
    check('lease_users_status', sql`status in ('free', 'leased', 'dirty', 'consumed', 'gone')`),
  ],
)

/** Dirty and consumed users that are free as soon as the targets have put them right (reset.ts, finish-resets.ts). */
export const leaseResets = pgTable(
  'lease_resets',
  {
    poolId: integer('pool_id').notNull(),
    userId: uuid('user_id').notNull(),
  },
  (t) => [primaryKey({ columns: [t.poolId, t.userId] })],
)

/** Leases, kept for AUDIT_RETENTION after their end: they are the journal of their users. */
export const leases = pgTable(
  'leases',
  {
    poolId: integer('pool_id').notNull(),
    id: uuid('id').notNull(),
    /** From a sequence, so that a later lease of a user has a greater one. */
    fence: bigNumber('fence').notNull(),
    owner: text('owner').notNull(),
    /** The name of the API key; null without keys. */
    apiKey: text('api_key'),
    grantedAt: time('granted_at').notNull(),
    expiresAt: time('expires_at').notNull(),
    endedAt: time('ended_at'),
    ending: text('ending', { enum: ['returned', 'expired', 'forced', 'abandoned'] }),
    /** The outcome of the users that were returned together. */
    outcome: text('outcome', { enum: ['clean', 'dirty', 'consumed'] }),
    userIds: uuid('user_ids').array().notNull(),
    /** The lease that each user had before, so that the leases of a user form a chain. */
    previousIds: uuid('previous_ids').array().notNull(),
    /** The commit that last wrote each user before the lease: shows what has changed since. */
    commitIds: bigNumber('commit_ids').array().notNull(),
    idempotencyOwner: bytewiseText('idempotency_owner').notNull().default(''),
    idempotencyKey: bytewiseText('idempotency_key'),
    idempotencyDigest: bytes('idempotency_digest'),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.id] }), // listing, newest first: ids begin with the time; forgetting
    uniqueIndex('leases_idempotency_key')
      .on(t.poolId, t.idempotencyOwner, t.idempotencyKey)
      .where(sql`idempotency_key is not null`),
    index('leases_expiring').on(t.poolId, t.expiresAt).where(sql`ended_at is null`), // expiry
    index('leases_active').on(t.poolId, t.id).where(sql`ended_at is null`), // listing
    check('leases_ending', sql`ending in ('returned', 'expired', 'forced', 'abandoned')`),
    check('leases_outcome', sql`outcome in ('clean', 'dirty', 'consumed')`),
  ],
)

/** Users that were returned before the end of their lease. */
export const leaseReturns = pgTable(
  'lease_returns',
  {
    poolId: integer('pool_id').notNull(),
    leaseId: uuid('lease_id').notNull(),
    userId: uuid('user_id').notNull(),
    outcome: text('outcome', { enum: ['clean', 'dirty', 'consumed'] }).notNull(),
    note: text('note'),
    returnedAt: time('returned_at').notNull().defaultNow(),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.leaseId, t.userId] }),
    foreignKey({
      name: 'lease_returns_of_lease',
      columns: [t.poolId, t.leaseId],
      foreignColumns: [leases.poolId, leases.id],
    }).onDelete('cascade'),
    check('lease_returns_outcome', sql`outcome in ('clean', 'dirty', 'consumed')`),
  ],
)
