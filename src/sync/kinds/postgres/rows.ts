import type { TransactionSql } from 'postgres'
import { PeerError } from '../../../client/peer.ts'
import type { Delivery, Outcome } from '../kind.ts'
import { TAKEN } from './faults.ts'
import type { Rows } from './mapping.ts'
import { deleteStatement, insertStatement, insertUntakenStatement, type Table, updateStatement } from './statements.ts'

/** What identifies a user's row in each table: its key and the returned value, as texts. */
type External = [key: string[], id: string | null][]

/** What identifies the row of the user `n`. */
interface Identified {
  n: number
  id: string | null
  [key: `k${number}`]: string
}

/** The values of a column: one per user, or one for all. */
type Parameter = (string | null)[] | string | null

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

/** Inserts rows of users. Returns what identifies those that are written. */
export type Insert = (tx: TransactionSql, table: Table, values: Parameter[], users: number) => Promise<Identified[]>

/** Thrown if the rows that PostgreSQL returns are not the rows as they were sent, one by one. */
export class Unlike extends Error {}

/**
 * Inserts all rows or fails: 100,000 take two thirds of the time of `insertUntaken`. Throws Unlike if a trigger leaves out a row or a
 * type writes a key in another way, such as a number with zeros in front.
 */
export const insertAll: Insert = async (tx, table, values, users) => {
  const rows = await tx.unsafe<Identified[]>(insertStatement(table), values)
  const keys = table.key.map(({ name }) => values[table.columns.findIndex((column) => column.name === name)])
  const isAsSent = (row: Identified, n: number) =>
    keys.every((texts, index) => row[`k${index}`] === (Array.isArray(texts) ? texts[n] : texts))
  if (rows.length !== users || !rows.every(isAsSent)) throw new Unlike()
  return rows.map((row, n) => ({ ...row, n }))
}

/** Inserts the rows whose unique values do not exist. */
export const insertUntaken: Insert = async (tx, table, values) => {
  const rows = await tx.unsafe<(Identified & { total: number })[]>(insertUntakenStatement(table), values)
  if (rows.some(({ total }) => total !== rows.length))
    throw new PeerError(
      'refused',
      `Table ${table.name} changes the key of inserted rows, so they cannot be found again.`,
    )
  return rows
}

/** Changes the users that have rows, and creates the others, also those whose rows somebody removed. */
export async function deliver(
  tx: TransactionSql,
  tables: Table[],
  users: Delivery<Rows>[],
  insert: Insert,
): Promise<Outcome[]> {
  const externals: (External | undefined)[] = users.map(() => undefined)
  const former = users.map(({ external }) => (external === null ? undefined : (JSON.parse(external) as External)))
  const known = users.flatMap((_, n) => (former[n] ? [n] : []))
  const found = await updateRows(tx, tables, users, former, known)
  for (const [n, external] of found) externals[n] = external
  const lost = known.filter((n) => !found.has(n))
  await removeRows(
    tx,
    tables,
    lost.map((n) => ({ external: users[n]?.external ?? '' })),
  )

  const absent = users.flatMap((_, n) => (externals[n] ? [] : [n]))
  let adding = absent
  const added = new Map<number, External>(absent.map((n) => [n, []]))
  for (const [index, table] of tables.entries()) {
    if (adding.length === 0) break
    const values = valuesOf(
      table,
      adding.map((n) => ({ row: users[n]?.rendered[index], external: added.get(n) })),
    )
    for (const row of await insert(tx, table, values, adding.length))
      added.get(adding[row.n] ?? -1)?.push([keyOf(row, table), row.id])
    const taken = adding.filter((n) => added.get(n)?.length === index)
    // In the first table nothing was written for a taken user. Otherwise its earlier rows must go, too.
    if (taken.some((n) => index > 0 || former[n])) throw new Taken(new Set(taken))
    if (taken.length > 0) adding = adding.filter((n) => !taken.includes(n))
  }
  for (const n of adding) externals[n] = added.get(n)
  return users.map((user, n) => {
    const external = externals[n]
    return external ? { userId: user.userId, external: JSON.stringify(external) } : takenOutcome(user)
  })
}

/** Changes rows in all tables. Returns the users whose rows are all there, and what identifies the rows now. */
async function updateRows(
  tx: TransactionSql,
  tables: Table[],
  users: Delivery<Rows>[],
  former: (External | undefined)[],
  known: number[],
): Promise<Map<number, External>> {
  const present = new Map<number, External>(known.map((n) => [n, []]))
  for (const [index, table] of tables.entries()) {
    if (present.size === 0) break
    const changing = [...present.keys()]
    const values = valuesOf(
      table,
      changing.map((n) => ({ row: users[n]?.rendered[index], external: former[n] })),
    )
    const identity = identityOf(
      table,
      changing.map((n) => former[n]?.[index]),
    )
    const rows = await tx.unsafe<Identified[]>(updateStatement(table), [...values, ...identity])
    for (const row of rows) {
      const n = changing[row.n] ?? -1
      present.get(n)?.push([keyOf(row, table), former[n]?.[index]?.[1] ?? null])
    }
    for (const [n, external] of present) if (external.length === index) present.delete(n)
  }
  return present
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
    await tx.unsafe(deleteStatement(table), identity)
  }
}

/** The values of the rows of a table, column by column. `external` is what the tables above returned. */
function valuesOf(
  { columns }: Table,
  users: { row: Rows[number] | undefined; external: External | undefined }[],
): Parameter[] {
  return columns.map(({ name, isConstant, returnedBy }) => {
    if (isConstant) return users[0]?.row?.[name] ?? null
    if (returnedBy !== undefined) return users.map(({ external }) => external?.[returnedBy]?.[1] ?? null)
    return users.map(({ row }) => row?.[name] ?? null)
  })
}

/** What identifies rows of a table, column by column. */
function identityOf({ key, returning }: Table, rows: (External[number] | undefined)[]): Parameter[] {
  const keys = key.map((_, index) => rows.map((row) => row?.[0][index] ?? null))
  return returning ? [...keys, rows.map((row) => row?.[1] ?? null)] : keys
}

const keyOf = (row: Identified, { key }: Table) => key.map((_, index) => row[`k${index}`] ?? '')
