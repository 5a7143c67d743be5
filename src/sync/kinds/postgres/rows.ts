import type { Sql, TransactionSql } from 'postgres'
import { PeerError } from '../../../client/peer.ts'
import { arrayLiteral } from '../../../database/array-literal.ts'
import type { Delivery, Outcome } from '../kind.ts'
import { TAKEN } from './faults.ts'
import type { Rows } from './mapping.ts'
import {
  columnStatement,
  deleteStatement,
  insertStatement,
  insertUntakenStatement,
  type Table,
  updateStatement,
} from './statements.ts'

/** What identifies a user's row in each table: its key and the returned value, as texts. */
type External = [key: string[], id: string | null][]

/** What identifies the row of the user `n`. */
interface Identified {
  n: number
  id: string | null
  [key: `k${number}`]: string
}

/** The values of a column, by user, or the one that all users have. */
type Values = (string | null)[] | string | null

/** Users whose rows cannot be inserted, since their unique values exist. Undoes what their batch has written so far. */
export class Taken extends Error {
  readonly users: Set<number>

  constructor(users: Set<number>) {
    super('taken')
    this.users = users
  }
}

/** The outcome of a user whose row is not written since one with its unique values exists. */
export const takenOutcome = ({ userId, external }: { userId: string; external: string | null }): Outcome => ({
  userId,
  external,
  refusal: { code: 'exists_already', detail: `${TAKEN}.` },
})

/** Inserts the rows of users, and returns what identifies those that are written. */
export type Insert = (tx: TransactionSql, table: Table, values: Values[], users: number) => Promise<Identified[]>

/** Thrown if the rows that PostgreSQL returns are not the rows as they were sent, one by one. */
export class Unlike extends Error {}

/**
 * Inserts all rows or fails: 100,000 take two thirds of the time of `insertUntaken`. Throws Unlike if a trigger leaves out a row or a
 * type writes a key in another way, such as a number with zeros in front.
 */
export const insertAll: Insert = async (tx, table, values, users) => {
  const rows = await tx.unsafe<Identified[]>(insertStatement(table, users), parameters(values))
  const keys = table.key.map(({ name }) => values[table.columns.findIndex((column) => column.name === name)])
  const isAsSent = (row: Identified, n: number) =>
    keys.every((texts, index) => row[`k${index}`] === (Array.isArray(texts) ? texts[n] : texts))
  if (rows.length !== users || !rows.every(isAsSent)) throw new Unlike()
  for (const [n, row] of rows.entries()) row.n = n
  return rows
}

/** Inserts the rows whose unique values do not exist. */
export const insertUntaken: Insert = async (tx, table, values, users) => {
  const rows = await tx.unsafe<(Omit<Identified, 'n'> & { n: number | null })[]>(
    insertUntakenStatement(table, users),
    parameters(values),
  )
  if (rows.some(({ n }) => n === null))
    throw new PeerError(
      'refused',
      `Table ${table.name} changes the key of inserted rows, by a trigger or its type, so they could not be found again. Map the key to what the table stores.`,
    )
  return rows as Identified[]
}

const parameters = (values: Values[]) => values.map((value) => (Array.isArray(value) ? arrayLiteral(value) : value))

/** Changes the users that have rows, and creates the others, also those whose rows somebody removed. */
export async function deliver(
  tx: TransactionSql,
  tables: Table[],
  users: Delivery<Rows>[],
  insert: Insert,
): Promise<Outcome[]> {
  const former = users.map(({ external }) => (external === null ? undefined : (JSON.parse(external) as External)))
  const known = [...former.keys()].filter((n) => former[n])
  const externals: (External | undefined)[] = await updateRows(tx, tables, users, former, known)
  const lost = known.filter((n) => !externals[n])
  await removeRows(
    tx,
    tables,
    lost.map((n) => ({ external: users[n]?.external ?? '' })),
  )

  let adding = [...users.keys()].filter((n) => !externals[n])
  const added: External[] = users.map(() => [])
  for (const [index, table] of tables.entries()) {
    if (adding.length === 0) break
    const values = valuesOf(table, index, { users, places: adding, externals: added })
    for (const row of await insert(tx, table, values, adding.length))
      added[adding[row.n] ?? -1]?.push([keyOf(row, table), row.id])
    const taken = adding.filter((n) => added[n]?.length === index)
    // In the first table nothing was written for a taken user. Otherwise its earlier rows must go, too.
    if (taken.some((n) => index > 0 || former[n])) throw new Taken(new Set(taken))
    if (taken.length > 0) adding = adding.filter((n) => added[n]?.length !== index)
  }
  for (const n of adding) externals[n] = added[n]
  return users.map((user, n) => {
    const external = externals[n]
    return external ? { userId: user.userId, external: JSON.stringify(external) } : takenOutcome(user)
  })
}

/** Changes rows in all tables. Returns what identifies the rows of a user now, if they are all there, by the place of the user. */
async function updateRows(
  tx: TransactionSql,
  tables: Table[],
  users: Delivery<Rows>[],
  former: (External | undefined)[],
  known: number[],
): Promise<(External | undefined)[]> {
  const found: (External | undefined)[] = users.map((_, n) => (former[n] ? [] : undefined))
  let present = known
  for (const [index, table] of tables.entries()) {
    if (present.length === 0) break
    const values = valuesOf(table, index, { users, places: present, externals: former })
    const identity = identityOf(
      table,
      present.map((n) => former[n]?.[index]),
    )
    const rows = await tx.unsafe<Identified[]>(
      updateStatement(table, present.length),
      parameters([...values, ...identity]),
    )
    for (const row of rows) {
      const n = present[row.n] ?? -1
      found[n]?.push([keyOf(row, table), former[n]?.[index]?.[1] ?? null])
    }
    for (const n of present) if (found[n]?.length === index) found[n] = undefined
    present = present.filter((n) => found[n])
  }
  return found
}

/** Removes rows from all tables, the last table first: its rows may refer to earlier ones. */
export async function removeRows(tx: TransactionSql, tables: Table[], users: { external: string }[]): Promise<void> {
  if (users.length === 0) return
  const externals = users.map(({ external }) => JSON.parse(external) as External)
  for (const [index, table] of [...tables.entries()].reverse()) {
    const identity = identityOf(
      table,
      externals.map((external) => external[index]),
    )
    await tx.unsafe(deleteStatement(table, users.length), parameters(identity))
  }
}

/** Returns what the tables have in the column `name` of the table `index`, null for a user without a row. */
export async function readColumn(
  sql: Sql,
  tables: Table[],
  { index, name }: { index: number; name: string },
  externals: string[],
): Promise<(string | null)[]> {
  const table = tables[index]
  if (!table) return externals.map(() => null)
  const identity = identityOf(
    table,
    externals.map((external) => (JSON.parse(external) as External)[index]),
  )
  const rows = await sql.unsafe<{ n: number; value: string | null }[]>(
    columnStatement(table, externals.length, name),
    parameters(identity),
  )
  const values = new Map(rows.map(({ n, value }) => [n, value]))
  return externals.map((_, n) => values.get(n) ?? null)
}

/** Users, the places of those whose rows are written, and what tables above returned for each. */
interface Writing {
  users: Delivery<Rows>[]
  places: number[]
  externals: (External | undefined)[]
}

/** The values of the rows of the table `index`, by column. */
function valuesOf({ columns }: Table, index: number, { users, places, externals }: Writing): Values[] {
  return columns.map(({ name, isConstant, returnedBy }) => {
    const textOf = (n: number) => users[n]?.rendered[index]?.[name] ?? null
    if (isConstant) return textOf(places[0] ?? 0)
    if (returnedBy !== undefined) return places.map((n) => externals[n]?.[returnedBy]?.[1] ?? null)
    return places.map(textOf)
  })
}

/** What identifies rows of a table, by column. */
function identityOf({ key, returning }: Table, rows: (External[number] | undefined)[]): Values[] {
  const keys = key.map((_, index) => rows.map((row) => row?.[0][index] ?? null))
  return returning ? [...keys, rows.map((row) => row?.[1] ?? null)] : keys
}

const keyOf = (row: Identified, { key }: Table) => key.map((_, index) => row[`k${index}`] ?? '')
