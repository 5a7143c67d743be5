/** A user line, with or without credentials, taken apart. */
export interface LineParts {
  /** The user line that is hashed: the credentials are left out. */
  bare: string
  /** The members as cells of CSV tell them, in its order; the custom attributes as the very text they were. */
  cells: (string | null)[]
  /** The credentials that stand in the line, by name, in its order. */
  credentials: Map<string, string | null>
}

const STRING = '"(?:[^"\\\\]|\\\\.)*"'

/** Of custom attributes nothing is read but where they end: JSON.parse would round their numbers. */
const USER_LINE = new RegExp(
  `^(\\{"id":"([^"\\\\]+)","username":(${STRING}),"email":(${STRING}),"role":(${STRING}),"is_test_user":(true|false),` +
    `"batch_id":(null|${STRING}),"created_by_bulk":(true|false),"custom_attributes":(.*),` +
    `"created_at":"([^"\\\\]*)","updated_at":"([^"\\\\]*)")((?:,"password(?:_hash)?":(?:null|${STRING}))*)\\}$`,
  's',
)
const CREDENTIAL = new RegExp(`,"(password|password_hash)":(null|${STRING})`, 'gs')

/**
 * Takes a line of an NDJSON export apart; undefined where it is no user line. Its members have a fixed order, and a quote
 * within a string is escaped, so the last `,"created_at":"` of the line is the member.
 */
export function takeApart(line: string): LineParts | undefined {
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
