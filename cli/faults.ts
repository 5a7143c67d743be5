import { UsersyncError } from '../client/index.ts'
import type { Command } from './command.ts'
import { type Connected, optionsOf } from './connection.ts'

/** Returns what went wrong, in one line that says what to do. */
export function faultText(error: unknown, connected: Connected | undefined, command: Command | undefined): string {
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
        ? `${error.code}: ${error.errors.map(({ path, message }) => `${givenAs(path, command)} ${message}`).join('; ')}`
        : error.message
  }
}

/** Returns what the user wrote for a member of the request, such as `--ttl` for `body.ttl_seconds`. The path, if that is not known. */
function givenAs(path: string, command: Command | undefined): string {
  const [place = '', ...names] = path.split('.')
  if (!command || !['body', 'querystring', 'params'].includes(place)) return path
  for (let length = names.length; length > 0; length--) {
    const member = names.slice(0, length).join('.')
    const option = member.replaceAll('_', '-')
    const given = command.members[member] ?? (option in optionsOf(command) ? `--${option}` : undefined)
    if (given !== undefined) return [given, ...names.slice(length)].join(' ')
  }
  return path
}

/** For what a command says beyond what it must: undefined if the key lacks the scope. */
export async function ifAllowed<Value>(request: Promise<Value>): Promise<Value | undefined> {
  try {
    return await request
  } catch (error) {
    if (error instanceof UsersyncError && error.code === 'forbidden') return undefined
    throw error
  }
}

/** The codes of connections that were never there. */
const NOT_CONNECTED = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ENETUNREACH', 'EHOSTUNREACH']

/** Whether the service may have received the request that failed. */
export const mayHaveArrived = (error: unknown): boolean =>
  error instanceof UsersyncError && error.isRetryable && !NOT_CONNECTED.includes(causeOf(error) ?? '')

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
