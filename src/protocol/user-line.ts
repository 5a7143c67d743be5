/** What an export can contain after a user line, in this order. Never part of the line that is hashed. */
export const CREDENTIALS = ['password', 'password_hash', 'totp_secret'] as const

export type Credential = (typeof CREDENTIALS)[number]

/** The format of an id. PostgreSQL and JSON Schema's own `uuid` accept more formats than the service returns. */
export const UUID_FORM = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/

/** The parts of a user line, with or without credentials. */
export interface UserLineParts {
  /** The user line that is hashed, without credentials. */
  bare: string
  /** The members as CSV cells, in CSV order. The custom attributes keep their exact text. */
  cells: (string | null)[]
  /** The credentials in the line, by name, in order. */
  credentials: Map<string, string | null>
}

const STRING = '"(?:[^"\\\\]|\\\\.)*"'
const NAME = `(?:${CREDENTIALS.join('|')})`

/** Finds only the end of the custom attributes: JSON.parse would round their numbers. */
const USER_LINE = new RegExp(
  `^(\\{"id":"([^"\\\\]+)","username":(${STRING}),"email":(${STRING}),"role":(${STRING}),"is_test_user":(true|false),` +
    `"batch_id":(null|${STRING}),"created_by_bulk":(true|false),"custom_attributes":(.*),` +
    `"created_at":"([^"\\\\]*)","updated_at":"([^"\\\\]*)")((?:,"${NAME}":(?:null|${STRING}))*)\\}$`,
  's',
)
const CREDENTIAL = new RegExp(`,"(${NAME})":(null|${STRING})`, 'gs')

/**
 * Splits a line of an NDJSON export into its parts. Undefined if it is not a user line. The members have a fixed order, and quotes
 * within strings are escaped, so the last `,"created_at":"` of the line is the member.
 */
export function parseUserLine(line: string): UserLineParts | undefined {
  const [, bare, id = '', username, email, role, test = '', batchId, bulk = '', attributes = '', ...times] =
    USER_LINE.exec(line) ?? []
  if (bare === undefined) return undefined
  const [createdAt = '', updatedAt = '', credentials = ''] = times
  return {
    bare: `${bare}}`,
    cells: [
      id,
      ...[username, email, role].map(stringOf),
      test,
      stringOf(batchId),
      bulk,
      attributes,
      createdAt,
      updatedAt,
    ],
    credentials: new Map([...credentials.matchAll(CREDENTIAL)].map(([, name = '', value]) => [name, stringOf(value)])),
  }
}

const stringOf = (json = 'null') => JSON.parse(json) as string | null
