import { stdSerializers } from 'pino'
import { DrizzleQueryError } from './drizzle.ts'
import { sqlState } from './sqlstate.ts'

const isPlace = (line: string) => /^\s+at /.test(line)

/**
 * An error as it may be logged. PostgreSQL's messages, and drizzle's of failed queries, carry values of users and whole
 * statements; of those only the SQLSTATE and the places in the code are kept.
 */
export function loggableError(error: unknown): object {
  if (!(error instanceof Error)) return { type: typeof error }
  const state = sqlState(error)
  // Without a SQLSTATE, as where the connection was lost, drizzle's message is the statement all the same.
  if (state === undefined && error instanceof DrizzleQueryError) return loggableError(error.cause)
  if (state === undefined) return stdSerializers.err(error)
  const stack = error.stack ?? ''
  const message = stack.indexOf(error.message) // it may have lines of its own that look like places
  const places =
    message < 0
      ? []
      : stack
          .slice(message + error.message.length)
          .split('\n')
          .filter(isPlace)
  return { type: 'PostgresError', sqlstate: state, stack: places.join('\n') }
}
