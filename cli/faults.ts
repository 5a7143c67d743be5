import { UsersyncError } from '../client/index.ts'
import type { Connected } from './connection.ts'

/** Returns what went wrong, in one line that says what to do. */
export function faultText(error: unknown, connected: Connected | undefined): string {
  if (!(error instanceof UsersyncError)) return error instanceof Error ? error.message : String(error)
  const { url, hasKey } = connected ?? { url: 'the service', hasKey: false }
  switch (error.code) {
    case 'unreachable':
      return `${url} cannot be reached${codeIn(error)}: is usersync running there? --url or USERSYNC_URL names another one`
    case 'timeout':
    case 'unavailable':
      return `${url}: ${error.message}`
    case 'not_usersync':
      return `${url} is no usersync: it answers ${error.status}. --url or USERSYNC_URL names another one`
    case 'version_mismatch':
      return `${url}: ${error.message} Install usersync of that version`
    case 'unauthorized':
      return hasKey
        ? 'the service does not know this API key: check USERSYNC_KEY or --key-file'
        : 'the service needs an API key: set USERSYNC_KEY, or name a file with --key-file'
    default:
      return error.errors.length > 0
        ? `${error.code}: ${error.errors.map(({ path, message }) => `${path} ${message}`).join('; ')}`
        : error.message
  }
}

/** The codes of connections that were never there. */
const NOT_CONNECTED = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ENETUNREACH', 'EHOSTUNREACH']

/** Whether the service may have received the request that failed. */
export const mayHaveArrived = (error: unknown): boolean =>
  error instanceof UsersyncError && error.isPassing && !NOT_CONNECTED.includes(causeOf(error) ?? '')

function codeIn(error: UsersyncError): string {
  const code = causeOf(error)
  return code === undefined ? '' : ` (${code})`
}

/** The code with which the connection failed, such as ECONNREFUSED. */
function causeOf({ cause }: UsersyncError): string | undefined {
  const { code, cause: inner } = (cause ?? {}) as { code?: unknown; cause?: { code?: unknown } }
  const found = inner?.code ?? code
  return typeof found === 'string' ? found : undefined
}
