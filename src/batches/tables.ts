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
import type { BatchConfig } from './batch-config.ts'
import type { ImportConfig } from './batch-schema.ts'

export const batches = pgTable(
  'batches',
  {
    poolId: integer('pool_id').notNull(),
    id: uuid('id').notNull(),
    /** Whether the users come from a pattern or from a file. */
    kind: text('kind').notNull().default('creation'),
    label: text('label'),
    status: text('status').notNull().default('queued'),
    totalRequested: integer('total_requested').notNull(),
    /** Users that an import changed. */
    updatedCount: integer('updated_count').notNull().default(0),
    /** Rows of an import that changed nothing: they already equal their user, or on_conflict=skip leaves them out. */
    skippedCount: integer('skipped_count').notNull().default(0),
    /** The `{id}` of the batch's first user. */
    firstUserNumber: bigNumber('first_user_number').notNull(),
    /** The batch's first credential. The others follow without a gap. */
    firstCredentialId: bigNumber('first_credential_id').notNull(),
    credentialCount: integer('credential_count').notNull().default(0),
    /** The username of every user, with `{id}` and `{n}` unfilled. */
    usernamePattern: text('username_pattern').notNull(),
    /** What follows the username in the email: nothing, or `@domain`. */
    emailSuffix: text('email_suffix').notNull(),
    /** The requested settings, without the password. */
    config: jsonb('config').$type<BatchConfig | ImportConfig>().notNull(),
    /**
     * The shared password, or the secret that the users' passwords derive from, encrypted. Null after no credential
     * needs it.
     */
    passwordCiphertext: bytes('password_ciphertext'),
    /** HMAC of the password of a batch with an epoch. Stays when the batch is deleted. */
    passwordDigest: bytes('password_digest'),
    /** The key that the users' TOTP secrets derive from, encrypted. Null without `totp`, and when the password is. */
    totpCiphertext: bytes('totp_ciphertext'),
    createdAt: time('created_at').notNull().defaultNow(),
    startedAt: time('started_at'),
    finishedAt: time('finished_at'),
    /** When expiry removes the batch; null if never. */
    expiresAt: time('expires_at'),
    /** When the batch was deleted or expired. The row stays as a record. */
    removedAt: time('removed_at'),
    /** Credentials created. */
    hashedCount: integer('hashed_count').notNull().default(0),
    /** Numbers of users created, users failed, and chunks completed. */
    createdCount: integer('created_count').notNull().default(0),
    failedCount: integer('failed_count').notNull().default(0),
    chunkCount: integer('chunk_count').notNull().default(0),
    /** The largest resident memory of a process after one of the chunks. */
    peakMemoryBytes: bigNumber('peak_memory_bytes'),
    /** A code of BATCH_ERRORS: why the batch failed, or the last error of a chunk. */
    lastError: text('last_error'),
    idempotencyKey: bytewiseText('idempotency_key'),
    /** The name of the API key that sent the request; empty without one. */
    idempotencyOwner: bytewiseText('idempotency_owner').notNull().default(''),
    /** HMAC-SHA-256 of the request that came with the key. */
    idempotencyDigest: bytes('idempotency_digest'),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.id] }), // listing, newest first: ids begin with the time
    foreignKey({ name: 'batches_of_pool', columns: [t.poolId], foreignColumns: [pools.id] }).onDelete('cascade'),
    uniqueIndex('batches_idempotency_key')
      .on(t.poolId, t.idempotencyOwner, t.idempotencyKey)
      .where(sql`idempotency_key is not null`),
    index('batches_expiring') // expiry
      .on(t.expiresAt, t.poolId, t.id)
      .where(sql`expires_at is not null and removed_at is null`),
    index('batches_by_status').on(t.poolId, t.status, t.id), // listing by status, counts
    index('batches_unfinished').on(t.poolId, t.id).where(sql`status in ('queued', 'running')`), // what dispatchers look for
    check('batches_kind', sql`kind in ('creation', 'import')`),
    check(
      'batches_status',
      sql`status in ('queued', 'running', 'completed', 'completed_with_failures', 'cancelled', 'failed')`,
    ),
  ],
)

/**
 * Open work of a batch, one transaction each: users or distinct password hashes from `first_n` to `last_n`. The row is
 * deleted with the work.
 */
export const chunks = pgTable(
  'chunks',
  {
    poolId: integer('pool_id').notNull(),
    batchId: uuid('batch_id').notNull(),
    kind: text('kind').notNull(),
    firstN: integer('first_n').notNull(),
    lastN: integer('last_n').notNull(),
    /** How often this range, or the larger range that it was halved from, reached the statement timeout. */
    timeouts: integer('timeouts').notNull().default(0),
  },
  (t) => [
    primaryKey({ columns: [t.poolId, t.batchId, t.kind, t.firstN] }), // taking the next
    foreignKey({
      name: 'chunks_of_batch',
      columns: [t.poolId, t.batchId],
      foreignColumns: [batches.poolId, batches.id],
    }).onDelete('cascade'),
    check('chunks_kind', sql`kind in ('credentials', 'users')`),
  ],
)

/** The users of a batch that could not be created. Deleted with the batch. */
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
  (t) => [
    primaryKey({ columns: [t.poolId, t.batchId, t.n] }),
    foreignKey({
      name: 'failures_of_batch',
      columns: [t.poolId, t.batchId],
      foreignColumns: [batches.poolId, batches.id],
    }).onDelete('cascade'),
  ],
)

export const credentials = pgTable(
  'credentials',
  {
    poolId: integer('pool_id').notNull(),
    id: bigNumber('id').notNull(),
    batchId: uuid('batch_id').notNull(),
    /** Null if the batch requested no hash. */
    passwordHash: text('password_hash'),
    /** Whether a user with this credential has changed its id. Such a credential is never deleted as unused. */
    pinned: boolean('pinned').notNull().default(false),
  },
  (t) => [primaryKey({ columns: [t.poolId, t.id] })],
)

/** Ranges of credentials that may have lost their last user. A trigger of `users` adds them. */
export const credentialChecks = pgTable(
  'credential_checks',
  {
    id: bigNumber('id').primaryKey().generatedAlwaysAsIdentity(),
    poolId: integer('pool_id').notNull(),
    firstId: bigNumber('first_id').notNull(),
    lastId: bigNumber('last_id').notNull(),
  },
  (t) => [
    foreignKey({ name: 'credential_checks_of_pool', columns: [t.poolId], foreignColumns: [pools.id] }).onDelete(
      'cascade',
    ),
    index('credential_checks_pool').on(t.poolId, t.id), // sweeping one pool
  ],
)
