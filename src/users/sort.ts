import { Type } from 'typebox'
import { Problem } from '../errors.ts'

const COLUMNS = ['id', 'username', 'email', 'created_at'] as const
type Column = (typeof COLUMNS)[number]

/** No two users of a pool share one of these, so keys after it change nothing. */
const UNIQUE: Column[] = ['id', 'username', 'email']

/** The orders that an index of `users` carries, forwards or backwards, and the short names of two. */
const CARRIED = [...UNIQUE.flatMap((column) => [column, `-${column}`]), 'created_at,-username', '-created_at,username']
const SHORT: Record<string, string> = { created_at: 'created_at,-username', '-created_at': '-created_at,username' }

/** All that `sort` may be, but for keys after a unique one. */
export const SUPPORTED_SORTS = [...CARRIED, ...Object.keys(SHORT)]
const EXPECTED = `one of ${SUPPORTED_SORTS.join(' | ')}; more keys may follow id, username or email`

/** The query member that orders a listing of users. */
export const sortMember = {
  sort: Type.Optional(
    Type.String({ default: 'id', description: `Keys in the order in which they count, - for descending: ${EXPECTED}` }),
  ),
}

export interface SortKey {
  column: Column
  descending: boolean
}

/** An order of users in which no two of a pool are equal, and which an index carries. */
export interface Sort {
  /** As `sort` spells it in full. */
  name: string
  keys: [first: SortKey] | [first: SortKey, second: SortKey]
}

/** Reads `sort`, e.g. `created_at,-username`. Throws `invalid_request` where no index carries that order. */
export function readSort(text: string): Sort {
  const names = text.split(',')
  const columns = names.map((name) => readKey(name).column)
  const isList = columns.every((column) => COLUMNS.includes(column)) && new Set(columns).size === columns.length
  const unique = columns.findIndex((column) => UNIQUE.includes(column))
  const needed = names.slice(0, unique < 0 ? undefined : unique + 1).join()
  const name = SHORT[needed] ?? needed
  if (!isList || !CARRIED.includes(name)) {
    const errors = [{ path: 'querystring.sort', code: 'unsupported_sort', message: `expects ${EXPECTED}` }]
    throw new Problem('invalid_request', `querystring.sort expects ${EXPECTED}`, { errors })
  }
  return { name, keys: name.split(',').map(readKey) as Sort['keys'] }
}

function readKey(name: string): SortKey {
  const descending = name.startsWith('-')
  return { column: (descending ? name.slice(1) : name) as Column, descending }
}

/** Where a page ended: of its last user the keys of the sort, as they stand in the user's line. */
export type Mark = Record<SortKey['column'], string>

/** The mark of a user's line, as the text that a cursor carries. Times keep their microseconds: they stay text. */
export function markOf({ keys }: Sort, line: string): string {
  const columns = keys.map(({ column }) => column)
  return JSON.stringify(JSON.parse(line), columns)
}

/** The mark that a cursor of the same sort carried. */
export function readMark(text: string | undefined): Mark | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as Mark)
}
