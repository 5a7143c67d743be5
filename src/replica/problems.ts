import { sqlState } from '../database/sqlstate.ts'
import { Problem } from '../errors.ts'
import { ExportError } from '../protocol/read-export.ts'

/**
 * SQLSTATEs of invalid values (22), of values that the table rejects (23), and of JSON that is nested too deeply (54001). A line that
 * is too long (54000) has its own error.
 */
const OF_A_VALUE = /^(22|23|54001)/

/** For a line that is not exactly the line of the user that it describes. */
export const notAUserLine = (cause?: unknown) =>
  new Problem(
    'export_invalid',
    'A line is not a user line, it contains credentials, or two users share an id, username or email. ' +
      'Nothing was changed.',
    { cause },
  )

/** Converts an error during an export into the problem for the client. Returns unrelated errors unchanged. */
export function asProblem(error: unknown): unknown {
  if (error instanceof ExportError) {
    return error.fault === 'cut'
      ? new Problem('export_cut', 'The body ended early. Nothing was changed; send it again.', { cause: error })
      : new Problem('export_malformed', 'Send an unmodified NDJSON export. Nothing was changed.', { cause: error })
  }
  return OF_A_VALUE.test(sqlState(error) ?? '') ? notAUserLine(error) : error
}
