import { type Static, Type } from 'typebox'
import { Nullable, named } from '../http/schemas.ts'
import { BatchConfig } from './batch-config.ts'

/** Excludes words that other paths use in the place of a template's name. */
export const TemplateName = Type.String({
  pattern: '^(?!(export|import|validate)$)[a-z0-9][a-z0-9._-]{0,62}$',
  description:
    'At most 63 characters: lower-case letters, digits and, after the first character, . _ - Not export, import or validate.',
})

/** What to do with a row if its id, username or email is taken. */
export const OnConflict = Type.Enum(['fail', 'skip', 'update'])
export type OnConflict = Static<typeof OnConflict>

export const ImportFormat = Type.Enum(['json', 'ndjson', 'csv'])
export type ImportFormat = Static<typeof ImportFormat>

/** The settings of a batch of the kind `import`. */
export const ImportConfig = named('ImportSettings', { on_conflict: OnConflict, format: ImportFormat })
export type ImportConfig = Static<typeof ImportConfig>

const time = Type.String({ description: 'RFC 3339, UTC' })

export const BatchStatus = Type.Enum([
  'queued',
  'running',
  'completed',
  'completed_with_failures',
  'cancelled',
  'failed',
])

/** A batch in every response. */
export const BatchResponse = named('Batch', {
  id: Type.String(),
  kind: Type.Enum(['creation', 'import']),
  label: Nullable(Type.String()),
  status: BatchStatus,
  total_requested: Type.Integer(),
  hashed_count: Type.Optional(
    Type.Integer({ description: 'Creation only: password hashes created, of password_hash.distinct' }),
  ),
  created_count: Type.Integer(),
  updated_count: Type.Optional(Type.Integer({ description: 'Import only: users that it changed' })),
  skipped_count: Type.Optional(
    Type.Integer({
      description: 'Import only: rows that already equal their user, or that on_conflict=skip leaves out',
    }),
  ),
  failed_count: Type.Integer(),
  user_count: Type.Integer({ description: 'Its test users that exist now' }),
  progress: Type.Number({ description: 'From 0 to 1: the completed part of the work, hashing included' }),
  throughput_per_second: Nullable(Type.Number()),
  eta_seconds: Nullable(Type.Number()),
  created_at: time,
  started_at: Nullable(time),
  finished_at: Nullable(time),
  expires_at: Nullable(time),
  removed_at: Nullable(
    Type.String({ description: 'When its users were removed, because the batch was deleted or expired' }),
  ),
  last_error: Nullable(
    Type.Object(
      { code: Type.String(), detail: Type.String() },
      { description: 'Why the batch failed; while it runs, the last error of a chunk and what happens next' },
    ),
  ),
  config: Type.Union([BatchConfig, ImportConfig]),
  profile: Type.Object({
    duration_ms: Nullable(Type.Number()),
    peak_memory_bytes: Nullable(Type.Number()),
    chunks: Type.Integer({ description: 'Completed chunks of users' }),
    workers: Type.Integer(),
  }),
  state: Type.String({ description: 'The state of the filter batch_id=<this batch>' }),
})
