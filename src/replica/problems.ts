import { sqlState } from '../database/sqlstate.ts'
import { Problem } from '../errors.ts'
import { ExportError } from '../protocol/read-export.ts'

/**
 * Values that are none (22), or that the table refuses (23); JSON too deep for it (54001). A line that is too long, 54000, has
 * an answer of its own.
 */
const OF_A_VALUE = /^(22|23|54001)/

/** A line that is not, to the byte, the line of the user that it describes. */
export const notAUserLine = (cause?: unknown) =>
  new Problem(
    'export_invalid',
    'A line is not the line of a user, credentials stand in it, or two users have an id, username or email in common. ' +
      'Nothing was changed.',
    { cause },
  )

/** What went wrong while an export was taken, as the client is told it. What is none of its matter stays as it is. */
export function asProblem(error: unknown): unknown {
  if (error instanceof ExportError) {
    return error.fault === 'cut'
      ? new Problem('export_cut', 'The body ended early. Nothing was changed; send it again.', { cause: error })
      : new Problem('export_malformed', 'Send an NDJSON export as it is. Nothing was changed.', { cause: error })
  }
  return OF_A_VALUE.test(sqlState(error) ?? '') ? notAUserLine(error) : error
}
