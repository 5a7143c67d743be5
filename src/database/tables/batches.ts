import type { BatchConfig } from '../../batches/batch-config.ts'
import type { ImportConfig } from '../../batches/import-config.ts'
import { check, index, integer, jsonb, pgTable, primaryKey, sql, text, uniqueIndex, uuid } from '../drizzle.ts'
import { bigNumber, bytes, bytewiseText, time } from './columns.ts'

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
    /** Users that an import changed. */
    updatedCount: integer('updated_count').notNull().default(0),
    /** Rows of an import that changed nothing: equal to their user already, or left out by on_conflict=skip. */
    skippedCount: integer('skipped_count').notNull().default(0),
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
