import { PeerError } from '../../../client/peer.ts'
import { isDatabaseUnavailable, sqlState } from '../../../database/sqlstate.ts'
import { untrustedText } from '../../../protocol/untrusted-text.ts'
import type { Refusal } from '../kind.ts'

/*
 * Faults of a target's database in our own words. Its messages contain values of rows, so only the SQLSTATE and the names of columns
 * and constraints are kept (PostgreSQL documentation, appendix A).
 */

/** What a refused row violates, by SQLSTATE. */
const ROW_FAULTS: [RegExp, string][] = [
  [/^22001$/, 'A value is too long'],
  [/^22/, 'A value does not have the form of its column'],
  [/^23502$/, 'A column that must have a value has none'],
  [/^23503$/, 'A row that it refers to is missing'],
  [/^23514$/, 'A value violates a check constraint'],
  [/^23/, 'The row violates a constraint'],
  [/^P0001$/, 'A trigger of the table rejects the row'],
]

/**
 * Returns why a database refuses a row, or undefined if the error is not about a row. `removed` names the row, if it was to be removed.
 */
export function refusalOf(error: unknown, removed?: string): Refusal | undefined {
  const code = sqlState(error)
  if (code === undefined) return undefined
  if (code === '23505') return taken(error)
  if (code === '23503' && removed !== undefined) {
    const detail = `Other rows of the system refer to ${untrustedText(removed, 300)}${placeOf(error)}.`
    return { code: 'still_referenced', detail }
  }
  const [, words] = ROW_FAULTS.find(([states]) => states.test(code)) ?? []
  return words === undefined ? undefined : { code: 'refused', detail: `${words} (${code})${placeOf(error)}.` }
}

/** Why a row is not written where one with its unique values exists. The place is that of an error, or the name of a table. */
export const taken = (place: unknown): Refusal => ({
  code: 'exists_already',
  detail: `The system has another row with the same unique value${placeOf(place)}. It stays as it is.`,
})

/** Adds the table of a statement to its error. PostgreSQL does not say it for most values that it rejects. */
export async function naming<Result>(table: string, statement: Promise<Result>): Promise<Result> {
  try {
    return await statement
  } catch (error) {
    if (error instanceof Error && sqlState(error) !== undefined && !('table_name' in error && error.table_name))
      Object.assign(error, { table_name: table })
    throw error
  }
}

/** Names of the schema only: PostgreSQL's messages and details contain values. */
function placeOf(error: unknown): string {
  const { table_name: table, column_name: column, constraint_name: constraint } = error as Record<string, unknown>
  const place = [table && `table ${table}`, column && `column ${column}`, constraint && `constraint ${constraint}`]
  const named = place.filter((part) => part !== undefined && part !== '').join(', ')
  return named === '' ? '' : `: ${untrustedText(named, 300)}`
}

/** What is wrong with a target as a whole, by SQLSTATE. */
const FAULTS: [RegExp, ConstructorParameters<typeof PeerError>[0], string][] = [
  [/^28/, 'unauthorized', 'The database rejects the user or the password'],
  [/^42501$/, 'unauthorized', 'The database user lacks a privilege on a table of the mapping'],
  [/^3D000$/, 'refused', 'The database of the url does not exist'],
  [/^(42|3F|0A)/, 'refused', 'The mapping does not fit the tables'],
  [/^25006$/, 'refused', 'The database is read-only'],
  [/^(40|55|57014|25P0)/, 'busy', 'Other transactions of the database are in the way'],
  [/^53/, 'busy', 'The database has no room'],
  [/^(08|57)/, 'unreachable', 'The database ended the connection'],
]

/** Converts an error of a target's connection. */
export function asTargetFault(error: unknown): PeerError {
  if (error instanceof PeerError) return error
  const state = sqlState(error)
  if (state !== undefined) {
    const [, fault = 'server_error', words = 'The database failed'] =
      FAULTS.find(([states]) => states.test(state)) ?? []
    return new PeerError(fault, `${words} (${state})${placeOf(error)}.`)
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
  if (code === 'CONNECTION_AUTHENTICATION_REFUSED') {
    return new PeerError(
      'unauthorized',
      'The database requests the password unencrypted, which is not sent: require TLS (sslmode=verify-full), or let it store the password as scram-sha-256.',
    )
  }
  if (isDatabaseUnavailable(error))
    return new PeerError('unreachable', `The connection failed (${untrustedText(code, 64)}).`)
  throw error
}
