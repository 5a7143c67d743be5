import { Problem } from '../../errors.ts'
import { UUID_FORM } from '../../protocol/user-line.ts'
import { LEASE_CREDENTIALS, type LeaseCredential } from '../lease-users.ts'

/** What a line can consist of. */
export const COLUMNS = ['id', 'username', 'email', 'role', ...LEASE_CREDENTIALS] as const
type Column = (typeof COLUMNS)[number]

/** How a user is written as one line of a file. */
export interface LineForm {
  columns: Column[]
  separator: string
}

export const DEFAULT_COLUMNS = 'username,password'
/** The separator of the Simple Table Server's own examples. */
export const DEFAULT_SEPARATOR = ';'

/** Reads the parameters COLUMNS and SEPARATOR. Throws `invalid_request`. */
export function lineForm(columns = DEFAULT_COLUMNS, separator = DEFAULT_SEPARATOR): LineForm {
  const names = columns.split(',')
  const known = names.filter((name): name is Column => COLUMNS.some((column) => column === name))
  if (known.length < names.length || new Set(names).size < names.length) {
    throw refusal(`COLUMNS has to be a list of some of ${COLUMNS.join(',')}, each once.`)
  }
  if (/[\r\n]/.test(separator)) throw refusal('SEPARATOR has to be a text without line ends.')
  return { columns: known, separator }
}

/** The columns that a lease has to include. */
export const credentialsIn = ({ columns }: LineForm): LeaseCredential[] =>
  LEASE_CREDENTIALS.filter((name) => columns.includes(name))

/** Returns the line of a user. Throws `invalid_request` if a script could not cut the line into its columns again. */
export function lineOf(user: Record<string, unknown>, { columns, separator }: LineForm): string {
  const values = columns.map((column) => {
    const value = user[column]
    if (typeof value !== 'string') {
      throw refusal(`The user has no ${column}. Create users with one, or leave it out with the parameter COLUMNS.`)
    }
    if ((columns.length > 1 && value.includes(separator)) || /[\r\n]/.test(value)) {
      throw refusal(`The ${column} of the user contains ${separator} or a line end. Choose another SEPARATOR.`)
    }
    return value
  })
  return values.join(separator)
}

/** Returns the column of a line that names its user. Throws `invalid_request`. */
export function userNamedBy(
  line: string,
  { columns, separator }: LineForm,
): { column: 'id' | 'username' | 'email'; value: string } {
  const values = columns.length === 1 ? [line] : line.split(separator)
  if (values.length !== columns.length) {
    throw refusal(`LINE has to be ${columns.join(separator)}, as READ returned it. COLUMNS and SEPARATOR say the form.`)
  }
  for (const column of ['username', 'email', 'id'] as const) {
    const value = values[columns.indexOf(column)]
    if (value !== undefined && (column !== 'id' || UUID_FORM.test(value))) return { column, value }
  }
  throw refusal('LINE has to name a user: COLUMNS needs username, email or id.')
}

const refusal = (detail: string) => new Problem('invalid_request', detail)
