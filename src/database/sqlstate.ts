import postgres from 'postgres'

/* The SQLSTATEs that the service distinguishes (PostgreSQL documentation, appendix A), and what they mean for a retry. */

/** A write in a read-only transaction: at a standby, or with `default_transaction_read_only`. LISTEN at a standby too. */
export const READ_ONLY_TRANSACTION = '25006'
export const FOREIGN_KEY_VIOLATION = '23503'
export const UNIQUE_VIOLATION = '23505'
export const INSUFFICIENT_PRIVILEGE = '42501'
/** A user line is too long (migrations/0000_foundation.sql), or a value exceeds a limit of PostgreSQL. */
export const LIMIT_EXCEEDED = '54000'
/** A statement timeout. A statement that an administrator cancels looks the same. */
export const QUERY_CANCELED = '57014'
export const PROTOCOL_VIOLATION = '08P01'
/** A write of the service met a user that is not a test user (migrations/0003_protect_users.sql). */
export const PROTECTED_USER = 'US001'

/** The SQLSTATE of an error that came from PostgreSQL (also of its cause), else undefined. */
export function sqlState(error: unknown): string | undefined {
  if (error instanceof postgres.PostgresError) return error.code
  return error instanceof Error && error.cause !== undefined ? sqlState(error.cause) : undefined
}

/** Serialization failure, deadlock, lock timeout, statement timeout, idle transaction timeout. */
const BLOCKED = /^(40001|40P01|55P03|57014|25P03)$/

/** Whether other work was in the way: the transaction is rolled back, and a retry may succeed. */
export const isBlocked = (error: unknown): boolean => BLOCKED.test(sqlState(error) ?? '')

/** `max_connections`, or the CONNECTION LIMIT of the role or the database. */
const TOO_MANY_CONNECTIONS = /^(53300|53400)$/

/** Whether PostgreSQL refused a further connection. */
export const isConnectionLimit = (error: unknown): boolean => TOO_MANY_CONNECTIONS.test(sqlState(error) ?? '')

/** Connection exceptions, insufficient resources, PostgreSQL's shutdown, crash and start, and a server that takes no writes. */
const UNAVAILABLE = /^(08|53|57P0|25006)/

/** A read at a standby failed, for any reason. The same read may succeed at the primary. */
export class StandbyFailure extends Error {
  override name = 'StandbyFailure'
}

/**
 * Whether the database could not be reached, had no room or took no writes, so that a later retry may succeed. Connection errors are
 * known by where they arose and not by a list of codes: `EAI_AGAIN` may as well come from a peer.
 */
export function isDatabaseUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error instanceof StandbyFailure) return true
  if (error instanceof postgres.PostgresError) return UNAVAILABLE.test(error.code)
  return postgres.isConnectionError(error) || isDatabaseUnavailable(error.cause)
}
