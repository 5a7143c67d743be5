import type { Sql, TransactionSql } from 'postgres'
import { PeerError } from '../../../client/peer.ts'
import type { Delivery, Outcome } from '../kind.ts'
import { TAKEN } from './faults.ts'
import type { CompiledTable, Rows, TableMapping } from './mapping.ts'
import { type ColumnTypes, columnStatement, deleteStatement, insertStatement, updateStatement } from './statements.ts'

/** What identifies a user's row in each table: its key and the returned value, as texts. */
type External = [key: string[], id: string | null][]

interface Identified {
  n: number
  id: string | null
  total: number
  [key: `k${number}`]: string
}

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

/** The tables of a mapping, and what is known about them. */
export interface Tables {
  tables: TableMapping[]
  compiledTables: CompiledTable[]
  types: ColumnTypes[]
}

/** Changes the users that have rows, and creates the others, also those whose rows somebody removed. */
export async function deliver(
  tx: TransactionSql,
  { tables, compiledTables, types }: Tables,
  users: Delivery<Rows>[],
): Promise<Outcome[]> {
  const externals: (External | undefined)[] = users.map(() => undefined)
  const former = users.map(({ external }) => (external === null ? undefined : (JSON.parse(external) as External)))
  const known = users.flatMap((_, n) => (former[n] ? [n] : []))
  const found = await updateRows(tx, { tables, compiledTables, types }, users, former, known)
  for (const [n, external] of found) externals[n] = external
  const lost = known.filter((n) => !found.has(n))
  await removeRows(
    tx,
    { tables, compiledTables, types },
    lost.map((n) => ({ external: users[n]?.external ?? '' })),
  )

  const absent = users.flatMap((_, n) => (externals[n] ? [] : [n]))
  let adding = absent
  const added = new Map<number, External>(absent.map((n) => [n, []]))
  for (const [index, mapping] of tables.entries()) {
    if (adding.length === 0) break
    const given = adding.map((n) => ({
      n,
      ...valuesOf(compiledTables[index], users[n]?.rendered[index], tables, added.get(n)),
    }))
    const rows = await tx.unsafe<Identified[]>(insertStatement(mapping, types[index] ?? {}), [JSON.stringify(given)])
    if (rows.some(({ total }) => total !== rows.length))
      throw new PeerError(
        'refused',
        `Table ${mapping.table} changes the key of inserted rows, so they cannot be found again.`,
      )
    for (const row of rows) added.get(row.n)?.push([keyOf(row, mapping), row.id])
    const taken = adding.filter((n) => added.get(n)?.length === index)
    // In the first table nothing was written for a taken user. Otherwise its earlier rows must go, too.
    if (taken.some((n) => index > 0 || former[n])) throw new Taken(new Set(taken))
    adding = adding.filter((n) => !taken.includes(n))
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
  { tables, compiledTables, types }: Tables,
  users: Delivery<Rows>[],
  former: (External | undefined)[],
  known: number[],
): Promise<Map<number, External>> {
  const present = new Map<number, External>(known.map((n) => [n, []]))
  for (const [index, mapping] of tables.entries()) {
    if (present.size === 0) break
    const given = [...present.keys()].map((n) => ({
      n,
      ...valuesOf(compiledTables[index], users[n]?.rendered[index], tables, former[n]),
      ...identityOf(former[n]?.[index]),
    }))
    const rows = await tx.unsafe<Identified[]>(updateStatement(mapping, types[index] ?? {}), [JSON.stringify(given)])
    for (const row of rows) present.get(row.n)?.push([keyOf(row, mapping), former[row.n]?.[index]?.[1] ?? null])
    for (const [n, external] of present) if (external.length === index) present.delete(n)
  }
  return present
}

/** Removes rows from all tables, the last table first: its rows may refer to earlier ones. */
export async function removeRows(
  tx: TransactionSql,
  { tables, types }: Tables,
  users: { external: string }[],
): Promise<void> {
  if (users.length === 0) return
  const externals = users.map(({ external }) => JSON.parse(external) as External)
  for (const [index, mapping] of [...tables.entries()].reverse()) {
    const given = externals.map((external, n) => ({ n, ...identityOf(external[index]) }))
    await tx.unsafe(deleteStatement(mapping, types[index] ?? {}), [JSON.stringify(given)])
  }
}

/** Returns the password hashes in the tables, null for a user without one. */
export async function readHashes(sql: Sql, { tables, types }: Tables, externals: string[]): Promise<(string | null)[]> {
  const isHash = (value: unknown) => (value as { $member?: unknown } | null)?.$member === 'password_hash'
  const index = tables.findIndex(({ columns }) => Object.values(columns).some(isHash))
  const mapping = tables[index]
  const column = Object.entries(mapping?.columns ?? {}).find(([, value]) => isHash(value))?.[0]
  if (!mapping || column === undefined) return externals.map(() => null)
  const given = externals.map((external, n) => ({ n, ...identityOf((JSON.parse(external) as External)[index]) }))
  const statement = columnStatement(mapping, types[index] ?? {}, column)
  const rows = await sql.unsafe<{ n: number; value: string | null }[]>(statement, [JSON.stringify(given)])
  const hashes = new Map(rows.map(({ n, value }) => [n, value]))
  return externals.map((_, n) => hashes.get(n) ?? null)
}

/** The values of a row as the statements take them, with what earlier tables returned. */
function valuesOf(
  table: CompiledTable | undefined,
  row: Rows[number] | undefined,
  tables: TableMapping[],
  earlier: External | undefined,
): Record<string, string | null> {
  const values = (table?.columns ?? []).map(([name, { returned }], index) => {
    const from = tables.findIndex((other) => other.table === returned)
    return [`c${index}`, (returned === undefined ? row?.[name] : earlier?.[from]?.[1]) ?? null]
  })
  return Object.fromEntries(values)
}

function identityOf([key, id]: External[number] = [[], null]): Record<string, string | null> {
  return { ...Object.fromEntries(key.map((text, index) => [`k${index}`, text])), id }
}

const keyOf = (row: Identified, { key }: TableMapping) => key.map((_, index) => row[`k${index}`] ?? '')
