import type { BatchConfig } from '../batches/batch-config.ts'
import type { ImportConfig } from '../batches/import-config.ts'
import type { TemplateSettings } from '../templates/template-schema.ts'
import {
  bigint,
  boolean,
  check,
  customType,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  sql,
  text,
  timestamp,
  unique,
  uniqueIndex,
  uuid,
} from './drizzle.ts'

/**
 * The tables that queries know. What drizzle-kit cannot write, or writes with the schema `public` in it, stands in the
 * hand-written migrations: sequences, foreign keys, functions, triggers, and the unlogged table `part_changes`.
 * `pool_id` stands first in every key, so that the tables can be distributed by pool.
 */

/** Compared byte by byte, so that order and uniqueness are the same on every server, whatever its locale. */
const bytewiseText = customType<{ data: string }>({ dataType: () => 'text collate "C"' })
const bytes = customType<{ data: Buffer }>({ dataType: () => 'bytea' })
const time = (name: string) => timestamp(name, { withTimezone: true, mode: 'string' })
const bigNumber = (name: string) => bigint(name, { mode: 'number' })

/** Stands for "any batch" in the key of a scope, where a null could not be part of the primary key. */
export const ANY_BATCH = '00000000-0000-0000-0000-000000000000'

export const pools = pgTable('pools', {
  id: integer('id').primaryKey().generatedByDefaultAsIdentity({ startWith: 2 }),
  name: bytewiseText('name').notNull().unique(),
  nextUserNumber: bigNumber('next_user_number').notNull().default(1),
  nextCredentialId: bigNumber('next_credential_id').notNull().default(1),
  createdAt: time('created_at').notNull().defaultNow(),
  /** Since when the pool's users are those of exports that are put into it, and nothing else writes them. Null: it is no replica. */
  replicaSince: time('replica_since'),
})

/** Plain SQL may write this table; what a writer leaves out fills itself, and the two stamps always do. */
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
    /** The transaction that wrote the row last. */
    commitId: bigNumber('commit_id').notNull().default(sql`currval('commit_ids')`),
    /** The transaction since which the row has its present id and part (batch, is_test_user, created_by_bulk). */
    enteredCommitId: bigNumber('entered_commit_id').notNull().default(sql`currval('commit_ids')`),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.id] }), // full export and listing, page by page
    uniqueIndex('users_username').on(t.poolId, t.username),
    uniqueIndex('users_email').on(t.poolId, t.email),
    index('users_commit').on(t.poolId, t.commitId), // delta: the rows of the commits since the base
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

/** What a filter selects names its scope; the two flags say that only test users, only bulk-created users count. */
const scopeKey = {
  poolId: integer('pool_id').notNull(),
  batchId: uuid('batch_id').notNull(),
  testUsersOnly: boolean('test_users_only').notNull(),
  bulkUsersOnly: boolean('bulk_users_only').notNull(),
}

/** The present version and digest of each scope. A word holds 64 unsigned bits in a signed column. */
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

/** The history of each scope: which commit made which version, and the state it then had. */
export const states = pgTable(
  'states',
  {
    ...scopeKey,
    version: bigNumber('version').notNull(),
    commitId: bigNumber('commit_id').notNull(),
    state: bytewiseText('state').notNull(),
    recordedAt: time('recorded_at').notNull().default(sql`clock_timestamp()`),
    /** Since when the commit's tombstones are gone: no delta leads across it. Null: they are there. */
    prunedAt: time('pruned_at'),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.batchId, t.testUsersOnly, t.bulkUsersOnly, t.version] }), // commits since a base
    unique('states_commit').on(t.poolId, t.commitId, t.batchId, t.testUsersOnly, t.bulkUsersOnly), // and what a commit made
    index('states_state').on(t.poolId, t.batchId, t.testUsersOnly, t.bulkUsersOnly, t.state, t.version), // base look-up
    index('states_pruned') // how far a scope is pruned
      .on(t.poolId, t.batchId, t.testUsersOnly, t.bulkUsersOnly, t.version)
      .where(sql`pruned_at is not null`),
  ],
)

/** A user's stay in a part that has ended: by deletion, or by a move to another part. */
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
    index('tombstones_user').on(t.poolId, t.userId), // whether a user who is here now was in the base
  ],
)

export const batches = pgTable(
  'batches',
  {
    poolId: integer('pool_id').notNull(),
    id: uuid('id').notNull(),
    /** Users made from a pattern, or taken from a file. */
    kind: text('kind').notNull().default('creation'),
    label: text('label'),
    status: text('status').notNull().default('queued'),
    totalRequested: integer('total_requested').notNull(),
    /** The `{id}` of the batch's first user. */
    firstUserNumber: bigNumber('first_user_number').notNull(),
    /** The credential of the batch's first password. */
    firstCredentialId: bigNumber('first_credential_id').notNull(),
    /** The username of every user, but for `{id}` and `{n}`. */
    usernamePattern: text('username_pattern').notNull(),
    /** What follows the username in the email: nothing, or `@domain`. */
    emailSuffix: text('email_suffix').notNull(),
    /** What the batch was asked for, without the password. */
    config: jsonb('config').$type<BatchConfig | ImportConfig>().notNull(),
    /** The shared password, encrypted. */
    passwordCiphertext: bytes('password_ciphertext'),
    createdAt: time('created_at').notNull().defaultNow(),
    startedAt: time('started_at'),
    finishedAt: time('finished_at'),
    /** From when on the batch may be removed; null: never. */
    expiresAt: time('expires_at'),
    idempotencyKey: bytewiseText('idempotency_key'),
    /** HMAC-SHA-256 of the request that came with the key. */
    idempotencyDigest: bytes('idempotency_digest'),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.id] }),
    uniqueIndex('batches_idempotency_key').on(t.poolId, t.idempotencyKey).where(sql`idempotency_key is not null`),
    index('batches_unfinished').on(t.poolId, t.id).where(sql`status in ('queued', 'running')`), // what dispatchers look for
    check('batches_kind', sql`kind in ('creation', 'import')`),
    check(
      'batches_status',
      sql`status in ('queued', 'running', 'completed', 'completed_with_failures', 'cancelled', 'failed')`,
    ),
  ],
)

/** One transaction's share of a batch: its users, or its distinct password hashes, `first_n` to `last_n`. */
export const chunks = pgTable(
  'chunks',
  {
    poolId: integer('pool_id').notNull(),
    batchId: uuid('batch_id').notNull(),
    kind: text('kind').notNull(),
    firstN: integer('first_n').notNull(),
    lastN: integer('last_n').notNull(),
    createdCount: integer('created_count').notNull().default(0),
    failedCount: integer('failed_count').notNull().default(0),
    memoryBytes: bigNumber('memory_bytes').notNull().default(0),
    finishedAt: time('finished_at'),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.batchId, t.kind, t.firstN] }),
    index('chunks_unfinished').on(t.poolId, t.batchId, t.kind, t.firstN).where(sql`finished_at is null`), // taking the next
    check('chunks_kind', sql`kind in ('credentials', 'users')`),
  ],
)

/** The users of a batch's range that could not be made. */
export const failures = pgTable(
  'failures',
  {
    poolId: integer('pool_id').notNull(),
    batchId: uuid('batch_id').notNull(),
    n: integer('n').notNull(),
    username: text('username').notNull(),
    email: text('email').notNull(),
    code: text('code').notNull(),
  },
  (t) => [primaryKey({ columns: [t.poolId, t.batchId, t.n] })],
)

export const credentials = pgTable(
  'credentials',
  {
    poolId: integer('pool_id').notNull(),
    id: bigNumber('id').notNull(),
    batchId: uuid('batch_id').notNull(),
    /** Null where the batch asked for none. */
    passwordHash: text('password_hash'),
  },
  (t) => [primaryKey({ columns: [t.poolId, t.id] })],
)

/** One row: a text that only the service's encryption key opens, so that a replica with another key is told at its start. */
export const encryptionKeyCheck = pgTable(
  'encryption_key_check',
  {
    id: boolean('id').primaryKey().default(true),
    ciphertext: bytes('ciphertext').notNull(),
  },
  () => [check('encryption_key_check_one_row', sql`id`)],
)

/** Creation settings by name; the built-in ones stand in the code. */
export const templates = pgTable(
  'templates',
  {
    poolId: integer('pool_id').notNull(),
    name: bytewiseText('name').notNull(),
    description: text('description').notNull().default(''),
    /** What the template was given, and no default: those it leaves out are the service's, whatever they are by then. */
    settings: jsonb('settings').$type<TemplateSettings>().notNull(),
    createdAt: time('created_at').notNull().defaultNow(),
    updatedAt: time('updated_at').notNull().defaultNow(),
  },
  (t) => [primaryKey({ columns: [t.poolId, t.name] })],
)

/** Receivers that a pool is pushed to. */
export const targets = pgTable(
  'targets',
  {
    poolId: integer('pool_id').notNull(),
    name: bytewiseText('name').notNull(),
    url: text('url').notNull(),
    /** The receiver's pool. */
    remotePool: bytewiseText('remote_pool').notNull(),
    /** The receiver's key, encrypted; null: it asks for none. */
    keyCiphertext: bytes('key_ciphertext'),
    batchId: uuid('batch_id'),
    testUsersOnly: boolean('test_users_only').notNull(),
    bulkUsersOnly: boolean('bulk_users_only').notNull(),
    /** Null: pushed by request alone. */
    intervalSeconds: integer('interval_seconds'),
    /** When the interval asks for the next run; null: never. */
    nextRunAt: time('next_run_at'),
    createdAt: time('created_at').notNull().defaultNow(),
    updatedAt: time('updated_at').notNull().defaultNow(),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.name] }),
    index('targets_due').on(t.nextRunAt).where(sql`next_run_at is not null`), // what schedulers look for
  ],
)

/** Pushes to targets: what was asked for, and what came of it. */
export const syncRuns = pgTable(
  'sync_runs',
  {
    poolId: integer('pool_id').notNull(),
    id: uuid('id').notNull().default(sql`uuid_v7()`),
    target: bytewiseText('target').notNull(),
    /** What asked for it: a request, or the target's interval. */
    trigger: text('trigger').notNull(),
    /** Whether a full export was asked for, whatever the target holds. */
    full: boolean('full').notNull(),
    status: text('status').notNull().default('queued'),
    kind: text('kind'),
    base: bytewiseText('base'),
    state: bytewiseText('state'),
    addedCount: bigNumber('added_count').notNull().default(0),
    updatedCount: bigNumber('updated_count').notNull().default(0),
    deletedCount: bigNumber('deleted_count').notNull().default(0),
    /** Of the exports sent, as they went over the wire, those of failed attempts included. */
    sentBytes: bigNumber('sent_bytes').notNull().default(0),
    attempts: integer('attempts').notNull().default(0),
    failure: text('failure'),
    detail: text('detail'),
    createdAt: time('created_at').notNull().defaultNow(),
    startedAt: time('started_at'),
    finishedAt: time('finished_at'),
    /** The process that has it in work, and until when it may be silent before another one takes the run over. */
    holder: uuid('holder'),
    leaseUntil: time('lease_until'),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.id] }),
    index('sync_runs_target').on(t.poolId, t.target, t.id), // listing, and the last run of a target
    uniqueIndex('sync_runs_one_queued').on(t.poolId, t.target).where(sql`status = 'queued'`),
    uniqueIndex('sync_runs_one_running').on(t.poolId, t.target).where(sql`status = 'running'`),
    check('sync_runs_trigger', sql`trigger in ('request', 'interval')`),
    check('sync_runs_status', sql`status in ('queued', 'running', 'succeeded', 'failed')`),
  ],
)

/** Who changed what, and what came of it. Never a password, a key, or a user's data. */
export const auditEvents = pgTable(
  'audit_events',
  {
    id: uuid('id').primaryKey().default(sql`uuid_v7()`),
    at: time('at').notNull().defaultNow(),
    /** The name of the key; null: no key is configured, or the service did it by itself. */
    actor: text('actor'),
    /** Such as `DELETE /v1/batches/{id}`, or `expiry`. */
    action: text('action').notNull(),
    /** The pool that was named, whether or not it is there. */
    pool: bytewiseText('pool'),
    /** The id or name of what was changed. */
    subject: text('subject'),
    /** The status that was answered. */
    status: integer('status').notNull(),
    /** The code of the problem, where it was one. */
    code: text('code'),
    /** Members of the answer that count something. */
    counts: jsonb('counts').$type<Record<string, number>>().notNull().default({}),
    /** By which the request is found in the log. */
    requestId: text('request_id'),
  },
  (t) => [
    index('audit_events_pool').on(t.pool, t.id), // listing
    index('audit_events_at').on(t.at), // forgetting the oldest
  ],
)

/** Named jobs, each with its parameters: what a scheduler has begun, and what came of it. */
export const jobRuns = pgTable(
  'job_runs',
  {
    id: uuid('id').primaryKey().default(sql`uuid_v7()`),
    name: text('name').notNull(),
    parameters: jsonb('parameters').$type<Record<string, unknown>>().notNull(),
    /** SHA-256 of the parameters as text, by which a run is found again. */
    parametersDigest: bytes('parameters_digest').notNull(),
    status: text('status').notNull().default('running'),
    attempts: integer('attempts').notNull().default(0),
    result: jsonb('result').$type<Record<string, unknown>>(),
    failure: text('failure'),
    createdAt: time('created_at').notNull().defaultNow(),
    startedAt: time('started_at'),
    finishedAt: time('finished_at'),
  },
  (t) => [
    unique('job_runs_parameters').on(t.name, t.parametersDigest),
    check('job_runs_status', sql`status in ('running', 'completed', 'failed')`),
  ],
)
