import {
  isBlocked,
  isConnectionLimit,
  isDatabaseUnavailable,
  READ_ONLY_TRANSACTION,
  sqlState,
} from '../database/sqlstate.ts'

/** What the chunks of a batch can meet, as the batch reports it in `last_error`. The codes are part of the API. */
const BATCH_ERRORS = {
  connections_exhausted:
    'The database rejects further connections (max_connections, or CONNECTION LIMIT of the role or the database). Raise the limit, or lower DATABASE_CONNECTIONS or MAX_WORKERS. The batch is retried.',
  database_unavailable: 'The database cannot be reached, or has no space. The batch is retried.',
  read_only:
    'The database takes no writes at the moment: it is a standby, or a switch-over is in progress. The batch is retried.',
  held_up: 'Another transaction locks rows that a chunk needs. The chunk is retried.',
  statement_timeout:
    'The users of one chunk take longer than the statement timeout. The chunk is retried in halves; after the third timeout the batch fails. Use smaller custom_attributes or a smaller chunk_size.',
  user_refused:
    'A constraint or trigger of the users table rejects the users of this batch. Change custom_attributes, role or username_pattern.',
  password_unreadable:
    'The password of the batch cannot be decrypted: ENCRYPTION_KEY is not the key that encrypted it.',
  internal_error: 'A chunk failed. The log of the service has the reason.',
} as const

export type BatchErrorCode = keyof typeof BATCH_ERRORS

/** The `last_error` of a batch as the API returns it. */
export function batchError(code: string | null): { code: string; detail: string } | null {
  return code === null ? null : { code, detail: BATCH_ERRORS[code as BatchErrorCode] ?? BATCH_ERRORS.internal_error }
}

/** A value that the schema does not allow, a violated constraint, a limit of PostgreSQL, or an exception from a trigger. */
const REFUSED = /^(22|23|54|P0)/

/** The error of a chunk, and whether another attempt can help. */
export function classify(error: unknown): { code: BatchErrorCode; canRetry: boolean } {
  const state = sqlState(error) ?? ''
  if (isConnectionLimit(error)) return { code: 'connections_exhausted', canRetry: true }
  if (state === READ_ONLY_TRANSACTION) return { code: 'read_only', canRetry: true }
  if (isDatabaseUnavailable(error)) return { code: 'database_unavailable', canRetry: true }
  if (isBlocked(error)) return { code: 'held_up', canRetry: true }
  return { code: REFUSED.test(state) ? 'user_refused' : 'internal_error', canRetry: false }
}
