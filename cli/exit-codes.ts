import { UsersyncError } from '../client/index.ts'
import { UsageError } from '../src/client/service-options.ts'
import { Stopped } from '../src/process/shutdown.ts'
import { isNoRoom } from '../src/pull/room.ts'

/** The exit codes of all commands. */
export const EXIT_CODES = {
  0: 'done',
  1: 'failed: what was requested did not happen, or only in part; or an internal error',
  2: 'wrong usage: option, argument, setting or file',
  3: 'not now: the service is not reachable, silent or busy; users are exhausted; the job runs in another process',
  4: 'the API key is missing, unknown, or lacks a scope',
  5: 'the request is rejected; the URL leads to no usersync, or to one of another version',
  6: 'the users do not match the state',
  7: 'no room on the disk, or --max-mb is reached',
  130: 'ended by SIGINT',
  143: 'ended by SIGTERM',
} as const

export const DONE = 0
export const FAILED = 1
export const WRONG_USAGE = 2
export const NOT_NOW = 3
export const UNAUTHORIZED = 4
export const REJECTED = 5
export const MISMATCH = 6
const NO_ROOM = 7

/** Errors of the client that have another exit code than their status says. */
const CODES: Record<string, number> = {
  unreachable: NOT_NOW,
  timeout: NOT_NOW,
  unavailable: NOT_NOW,
  export_cut: NOT_NOW,
  users_exhausted: NOT_NOW,
  state_mismatch: MISMATCH,
  not_usersync: REJECTED,
  version_mismatch: REJECTED,
}

/** Returns the exit code of a command that threw this error. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof Stopped) return error.exitCode
  if (error instanceof UsageError) return WRONG_USAGE
  if (!(error instanceof UsersyncError)) return isNoRoom(error) ? NO_ROOM : FAILED
  const code = CODES[error.code]
  if (code !== undefined) return code
  if (error.status === 401 || error.status === 403) return UNAUTHORIZED
  return error.isRetryable ? NOT_NOW : REJECTED
}
