import { sql } from 'drizzle-orm'
import {
  boolean,
  check,
  foreignKey,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'
import { bigNumber, bytes, bytewiseText, time } from '../database/columns.ts'
import { pools } from '../pools/tables.ts'

/** The targets of a pool: other services like this one, and systems under test (sinks), which follow its users. */
export const targets = pgTable(
  'targets',
  {
    poolId: integer('pool_id').notNull(),
    name: bytewiseText('name').notNull(),
    /** `usersync`, or a kind of sink (src/sync/kinds/kinds.ts). */
    kind: text('kind').notNull().default('usersync'),
    url: text('url').notNull(),
    /** The pool at the receiver. */
    remotePool: bytewiseText('remote_pool').notNull(),
    /** The receiver's key or password, encrypted. Null: it needs none. */
    keyCiphertext: bytes('key_ciphertext'),
    batchId: uuid('batch_id'),
    testUsersOnly: boolean('test_users_only').notNull(),
    bulkUsersOnly: boolean('bulk_users_only').notNull(),
    /** What each user becomes in a sink. Null for `usersync`. */
    mapping: jsonb('mapping').$type<object>(),
    limits: jsonb('limits').$type<Record<string, number>>().notNull().default({}),
    /** How some users of a sink log in after a run (src/sync/canary). Null: none do. */
    canary: jsonb('canary').$type<object>(),
    /** The state whose difference to a sink is in sink_users. Null: none, so the next run compares all users. */
    plannedState: bytewiseText('planned_state'),
    /** The version of the filter's scope that had it. The scope may have that state again later, and others in between. */
    plannedVersion: bigNumber('planned_version'),
    /** Whether users of the filter that have no row in sink_users are due, too: a full run has not reached them yet. */
    isFilling: boolean('is_filling').notNull().default(false),
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
    /** Whether it removes all users from the sink, instead of bringing it in sync. */
    clear: boolean('clear').notNull().default(false),
    status: text('status').notNull().default('queued'),
    kind: text('kind'),
    base: bytewiseText('base'),
    state: bytewiseText('state'),
    addedCount: bigNumber('added_count').notNull().default(0),
    updatedCount: bigNumber('updated_count').notNull().default(0),
    deletedCount: bigNumber('deleted_count').notNull().default(0),
    /** Users that were sent, also those that were the same there. */
    sentCount: bigNumber('sent_count').notNull().default(0),
    /** Bytes of exports sent on the wire, including failed attempts. */
    sentBytes: bigNumber('sent_bytes').notNull().default(0),
    attempts: integer('attempts').notNull().default(0),
    failure: text('failure'),
    detail: text('detail'),
    /** What the logins after the run showed. Null: there were none. */
    canary: jsonb('canary').$type<object>(),
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

/**
 * What a sink has of each user, and what is to be done there. A row is written once per delivery: before the target commits, as it is
 * true afterwards. Until the end of that commit is known, the user is in sink_announcements.
 */
export const sinkUsers = pgTable(
  'sink_users',
  {
    poolId: integer('pool_id').notNull(),
    target: bytewiseText('target').notNull(),
    userId: uuid('user_id').notNull(),
    /** What identifies the user's rows at the target, as its kind writes it. Null: there are none. */
    external: text('external'),
    /** What `external` was before the last delivery, and is again if the target did not commit it. */
    former: text('former'),
    /** Whether the target may differ from the planned state. */
    isDue: boolean('is_due').notNull(),
    /** Why the target refused the user at the last run. */
    code: text('code'),
    detail: text('detail'),
    triedAt: time('tried_at'),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.target, t.userId] }),
    index('sink_users_due').on(t.poolId, t.target, t.userId).where(sql`is_due`), // the work of a run
    index('sink_users_failed').on(t.poolId, t.target, t.userId).where(sql`code is not null`), // the list of failures
  ],
)

/** Deliveries whose end is not known: a target's transaction that is about to commit, or requests that are about to be sent. */
export const sinkAnnouncements = pgTable(
  'sink_announcements',
  {
    poolId: integer('pool_id').notNull(),
    target: bytewiseText('target').notNull(),
    /** Names the delivery to the target's kind. */
    marker: text('marker').notNull(),
    userIds: uuid('user_ids').array().notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.target, t.marker] }),
    foreignKey({
      name: 'sink_announcements_of_target',
      columns: [t.poolId, t.target],
      foreignColumns: [targets.poolId, targets.name],
    }).onDelete('cascade'),
  ],
)

/**
 * Users that a sink has, and that its next run is to send again although they have not changed here (sinks/resends.ts). Beside
 * sink_users, whose rows only the run of a sink may write.
 */
export const sinkResends = pgTable(
  'sink_resends',
  {
    poolId: integer('pool_id').notNull(),
    target: bytewiseText('target').notNull(),
    userId: uuid('user_id').notNull(),
    /** The run that marked the user as due. Null: none has yet. */
    runId: uuid('run_id'),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.target, t.userId] }),
    index('sink_resends_open').on(t.poolId, t.target, t.userId).where(sql`run_id is null`), // what the next run takes over
  ],
)
