import { sql } from 'drizzle-orm'
import {
  boolean,
  check,
  foreignKey,
  index,
  integer,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'
import { bigNumber, bytes, bytewiseText, time } from '../database/columns.ts'
import { pools } from '../pools/tables.ts'

/** The targets of a pool: receivers that it is pushed to. */
export const targets = pgTable(
  'targets',
  {
    poolId: integer('pool_id').notNull(),
    name: bytewiseText('name').notNull(),
    url: text('url').notNull(),
    /** The pool at the receiver. */
    remotePool: bytewiseText('remote_pool').notNull(),
    /** The receiver's key, encrypted. Null: it needs none. */
    keyCiphertext: bytes('key_ciphertext'),
    batchId: uuid('batch_id'),
    testUsersOnly: boolean('test_users_only').notNull(),
    bulkUsersOnly: boolean('bulk_users_only').notNull(),
    /** Null: pushed on request only. */
    intervalSeconds: integer('interval_seconds'),
    /** When the next interval run is due. Null: never. */
    nextRunAt: time('next_run_at'),
    createdAt: time('created_at').notNull().defaultNow(),
    updatedAt: time('updated_at').notNull().defaultNow(),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.name] }),
    foreignKey({ name: 'targets_of_pool', columns: [t.poolId], foreignColumns: [pools.id] }).onDelete('cascade'),
    index('targets_due').on(t.nextRunAt).where(sql`next_run_at is not null`), // what schedulers look for
  ],
)

/** Pushes to targets, and their outcomes. */
export const syncRuns = pgTable(
  'sync_runs',
  {
    poolId: integer('pool_id').notNull(),
    id: uuid('id').notNull().default(sql`uuid_v7()`),
    target: bytewiseText('target').notNull(),
    /** What started it: a request, or the target's interval. */
    trigger: text('trigger').notNull(),
    /** Whether a full export was requested, whatever state the target has. */
    full: boolean('full').notNull(),
    status: text('status').notNull().default('queued'),
    kind: text('kind'),
    base: bytewiseText('base'),
    state: bytewiseText('state'),
    addedCount: bigNumber('added_count').notNull().default(0),
    updatedCount: bigNumber('updated_count').notNull().default(0),
    deletedCount: bigNumber('deleted_count').notNull().default(0),
    /** Bytes of exports sent on the wire, including failed attempts. */
    sentBytes: bigNumber('sent_bytes').notNull().default(0),
    attempts: integer('attempts').notNull().default(0),
    failure: text('failure'),
    detail: text('detail'),
    createdAt: time('created_at').notNull().defaultNow(),
    startedAt: time('started_at'),
    finishedAt: time('finished_at'),
    /** The claim that has the run. Without a renewal until `lease_until`, the run may be claimed again. */
    holder: uuid('holder'),
    leaseUntil: time('lease_until'),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.id] }),
    foreignKey({
      name: 'sync_runs_of_target',
      columns: [t.poolId, t.target],
      foreignColumns: [targets.poolId, targets.name],
    }).onDelete('cascade'),
    index('sync_runs_target').on(t.poolId, t.target, t.id), // the list, and the last run of a target
    uniqueIndex('sync_runs_one_queued').on(t.poolId, t.target).where(sql`status = 'queued'`),
    uniqueIndex('sync_runs_one_running').on(t.poolId, t.target).where(sql`status = 'running'`),
    check('sync_runs_trigger', sql`trigger in ('request', 'interval')`),
    check('sync_runs_status', sql`status in ('queued', 'running', 'succeeded', 'failed')`),
  ],
)
