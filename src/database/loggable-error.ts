import { stdSerializers } from 'pino'
import { sqlState } from './sqlstate.ts'

const isPlace = (line: string) => /^\s+at /.test(line)

/**
 * Returns an error in a form that is safe to log. Messages of PostgreSQL contain user data. Only the SQLSTATE and the
 * stack frames are kept.
 */
export function loggableError(error: unknown): object {
  if (!(error instanceof Error)) return { type: typeof error }
  const state = sqlState(error)
  // pino would append the messages of the causes, which ours often contain. The stack has all causes.
  if (state === undefined) return { ...stdSerializers.err(error), message: error.message }
  const stack = error.stack ?? ''
  const message = stack.indexOf(error.message) // the message may have lines that look like stack frames
  const places =
    message < 0
      ? []
      : stack
          .slice(message + error.message.length)
          .split('\n')
          .filter(isPlace)
  return { type: 'PostgresError', sqlstate: state, stack: places.join('\n') }
}
