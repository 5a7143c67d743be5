import { isConnectionLimit, isDatabaseUnavailable, isHeldUp, sqlState } from '../database/sqlstate.ts'

/** What the chunks of a batch can meet, as `last_error` of the batch tells it. Codes are part of the interface. */
export const BATCH_ERRORS = {
  connections_exhausted:
    'The database refuses further connections (max_connections, or CONNECTION LIMIT of the role or the database). Raise the limit, or lower DATABASE_CONNECTIONS or MAX_WORKERS. The batch is retried.',
  database_unavailable: 'The database cannot be reached, or has no room. The batch is retried.',
  held_up: 'Other work holds what a chunk needs. The chunk is retried.',
  statement_timeout:
    'The users of one chunk take longer than a statement may. The chunk is retried in halves; the third time the batch fails. Use smaller custom_attributes or a smaller chunk_size.',
  user_refused:
    'A rule of the users table refuses the users of this batch. Change custom_attributes, role or username_pattern.',
  password_unreadable:
    'The password of the batch cannot be decrypted: ENCRYPTION_KEY is not the one it was stored with.',
  internal_error: 'A chunk cannot be done. The log of the service has the reason.',
} as const

export type BatchErrorCode = keyof typeof BATCH_ERRORS

/** `last_error` of a batch as it is answered. */
export function batchError(code: string | null): { code: string; detail: string } | null {
  return code === null ? null : { code, detail: BATCH_ERRORS[code as BatchErrorCode] ?? BATCH_ERRORS.internal_error }
}

/** Values that the schema does not allow, a broken constraint, a limit of PostgreSQL, an exception of a trigger. */
const REFUSED = /^(22|23|54|P0)/

/** The error of a chunk, and whether another attempt can help. */
export function classify(error: unknown): { code: BatchErrorCode; canRetry: boolean } {
  const state = sqlState(error) ?? ''
  if (isConnectionLimit(error)) return { code: 'connections_exhausted', canRetry: true }
  if (isDatabaseUnavailable(error)) return { code: 'database_unavailable', canRetry: true }
  if (isHeldUp(error)) return { code: 'held_up', canRetry: true }
  return { code: REFUSED.test(state) ? 'user_refused' : 'internal_error', canRetry: false }
}
