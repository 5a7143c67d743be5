import { Type } from 'typebox'
import { Problem } from '../errors.ts'

const COLUMNS = ['id', 'username', 'email', 'created_at'] as const
type Column = (typeof COLUMNS)[number]

/** Unique in a pool, so keys after one of these have no effect. */
const UNIQUE: Column[] = ['id', 'username', 'email']

/** The orders that an index of `users` supports, forwards or backwards. */
const INDEXED = [...UNIQUE.flatMap((column) => [column, `-${column}`]), 'created_at,-username', '-created_at,username']

/** The orders of which the second key may be omitted. */
const SHORT_NAMES: Record<string, string> = {
  created_at: 'created_at,-username',
  '-created_at': '-created_at,username',
}

/** All values of `sort`, without keys after a unique one. */
export const SUPPORTED_SORTS = [...INDEXED, ...Object.keys(SHORT_NAMES)]
const EXPECTED = `one of ${SUPPORTED_SORTS.join(' | ')}; more keys may follow id, username or email`

/** The query member that orders a listing of users. */
export const sortMember = {
  sort: Type.Optional(
    Type.String({ default: 'id', description: `Sort keys, most significant first; - means descending: ${EXPECTED}` }),
  ),
}

export interface SortKey {
  column: Column
  descending: boolean
}

/** A total order of a pool's users that an index supports. */
export interface Sort {
  /** The full spelling of `sort`. */
  name: string
  keys: [first: SortKey] | [first: SortKey, second: SortKey]
}

/** Parses `sort`, for example `created_at,-username`. Throws `invalid_request` if no index supports the order. */
export function readSort(text: string): Sort {
  const names = text.split(',')
  const columns = names.map((name) => readKey(name).column)
  const isList = columns.every((column) => COLUMNS.includes(column)) && new Set(columns).size === columns.length
  const unique = columns.findIndex((column) => UNIQUE.includes(column))
  const needed = names.slice(0, unique < 0 ? undefined : unique + 1).join()
  const name = SHORT_NAMES[needed] ?? needed
  if (!isList || !INDEXED.includes(name)) {
    const errors = [{ path: 'querystring.sort', code: 'unsupported_sort', message: `expects ${EXPECTED}` }]
    throw new Problem('invalid_request', `querystring.sort expects ${EXPECTED}`, { errors })
  }
  return { name, keys: name.split(',').map(readKey) as Sort['keys'] }
}

function readKey(name: string): SortKey {
  const descending = name.startsWith('-')
  return { column: (descending ? name.slice(1) : name) as Column, descending }
}

/** The end of a page: the sort keys of its last user, as written in the user line. */
export type Mark = Record<SortKey['column'], string>

/** Returns the mark of a user line, as the text that a cursor contains. Times stay text, to keep their microseconds. */
export function markOf({ keys }: Sort, line: string): string {
  const columns = keys.map(({ column }) => column)
  return JSON.stringify(JSON.parse(line), columns)
}

/** Parses the mark of a cursor for the same sort. */
export function readMark(text: string | undefined): Mark | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as Mark)
}
