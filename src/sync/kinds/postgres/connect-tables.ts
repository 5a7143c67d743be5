import type { Sql, TransactionSql } from 'postgres'
import { PeerError } from '../../../client/peer.ts'
import { connect } from '../../../database/connection.ts'
import type { Announce, Delivery, Outcome, Removal, Sink, SinkAddress } from '../kind.ts'
import { asTargetFault, refusalOf } from './faults.ts'
import { compileTables, type Rows, type TablesMapping } from './mapping.ts'
import {
  deliver,
  insertAll,
  insertUntaken,
  nameOf,
  readColumn,
  removeRows,
  Taken,
  takenOutcome,
  Unlike,
} from './rows.ts'
import { type Column, DESCRIBE_TABLES, type Table, tableName } from './statements.ts'

/*
 * Writes users into the tables of a PostgreSQL database that is not ours.
 *
 * Two databases cannot commit together, and after a crash nobody may guess whether a row is ours. So a batch is one transaction there,
 * and its transaction id is recorded here before it commits. After a crash or a lost connection PostgreSQL itself says how that
 * transaction ended (pg_xact_status, made for this case). A row is ours if and only if a transaction with an `insert` of ours that
 * committed returned it. An insert never touches another row: it fails, or leaves out the taken rows with `on conflict do nothing`.
 * Later statements find a row by its key and by the value that the database returned for it, so after a reset of the database they do
 * not find a row of somebody else with the same id.
 */

/** How long a query waits for a connection. Together with a run's start this stays below 5 s. */
const WAIT_MS = 4_000

/** The target ends a transaction after this silence, and with it a batch whose process is gone without closing the connection. */
const IDLE_TRANSACTION_MS = 30_000

/** Sent as password if there is none: without one, the driver would send this machine's PGPASSWORD to the target. */
const NO_PASSWORD = 'none'

/**
 * A deferred constraint would fail the commit, for all users at once. Rows are found by their keys, also if the planner knows nothing
 * about a table. Before PostgreSQL 18, a scan that is needed nevertheless would seem so expensive that JIT compiles it.
 */
const SETTINGS = 'set constraints all immediate; set local enable_seqscan = off; set local jit = off'

/** Opens a connection to the target. Connects on first use. */
export function connectTables({ url, key, mapping, connections }: SinkAddress): Sink<Rows> {
  const address = new URL(url)
  address.password = encodeURIComponent(key ?? NO_PASSWORD)
  const sql = connect({
    url: address.href,
    schema: 'public',
    connections,
    name: 'usersync sink',
    waitMs: WAIT_MS,
    idleTimeoutMs: IDLE_TRANSACTION_MS,
  })
  let described: Promise<Table[]> | undefined
  const describe = () => (described ??= describeTables(sql, mapping as TablesMapping))
  /** Whether the tables keep rows as they are sent. */
  let insertsAll = true

  /** Runs a batch in one transaction, and announces it before the commit. */
  async function inTransaction<Item>(
    items: Item[],
    announce: Announce,
    write: (tx: TransactionSql, tables: Table[], items: Item[]) => Promise<Outcome[]>,
  ): Promise<Outcome[]> {
    let ownFault: unknown
    try {
      const tables = await describe()
      return await sql.begin(async (tx) => {
        await tx.unsafe(SETTINGS)
        const outcomes = await write(tx, tables, items)
        if (outcomes.some(({ refusal }) => refusal === undefined)) {
          const [row] = await tx.unsafe<{ xid: string }[]>('select pg_current_xact_id()::text as xid')
          try {
            await announce(row?.xid ?? '', outcomes)
          } catch (error) {
            ownFault = error
            throw error
          }
        }
        return outcomes
      })
    } catch (error) {
      throw ownFault ?? asTargetFault(error)
    }
  }

  /** Writes users at once, and with care if that fails. The savepoint undoes what fails. */
  async function write(tx: TransactionSql, tables: Table[], users: Delivery<Rows>[]): Promise<Outcome[]> {
    try {
      if (insertsAll) return await tx.savepoint((savepoint) => deliver(savepoint, tables, users, insertAll))
    } catch (error) {
      if (error instanceof Unlike) insertsAll = false
      else if (!refusalOf(error)) throw error
    }
    return await writeEach(tx, users, (tx, users) => deliver(tx, tables, users, insertUntaken))
  }

  return {
    async probe() {
      try {
        described = undefined
        await describe()
      } catch (error) {
        throw asTargetFault(error)
      }
    },
    send: (users, announce) => inTransaction(users, announce, write),
    remove: (users, announce) =>
      inTransaction(users, announce, (tx, tables, items) =>
        writeEach(
          tx,
          items,
          async (tx, items) => {
            await removeRows(tx, tables, items)
            return items.map(({ userId }) => ({ userId, external: null }))
          },
          ({ external }) => nameOf(external, tables),
        ),
      ),
    async outcomeOf(marker) {
      try {
        const [row] = await sql.unsafe<{ status: string | null }[]>('select pg_xact_status($1::text::xid8) as status', [
          marker,
        ])
        if (row?.status === 'in progress')
          throw new PeerError('busy', 'A transaction of an earlier attempt is still open in the database.')
        if (row?.status === 'committed' || row?.status === 'aborted') return row.status
        return 'unknown'
      } catch (error) {
        // An id of the future: the database was replaced by another one, which has nothing of that transaction.
        if ((error as { code?: string }).code === '22023') return 'aborted'
        throw asTargetFault(error)
      }
    },
    async storedHashes(externals) {
      const column = hashColumn(mapping as TablesMapping)
      if (!column) return externals.map(() => null)
      try {
        return await readColumn(sql, await describe(), column, externals)
      } catch (error) {
        throw asTargetFault(error)
      }
    },
    close: () => sql.end({ timeout: 5 }),
  }
}

interface DescribedTable {
  n: number
  is_table: boolean
  columns: Record<string, string>
  keys: string[][] | null
}

/** Reads the types of the mapped columns. Throws PeerError `refused` if a table, column or unique key is missing. */
async function describeTables(sql: Sql, mapping: TablesMapping): Promise<Table[]> {
  const compiled = compileTables(mapping)
  const wanted = mapping.tables.map(({ table }, n) => ({ n, ...tableName(table) }))
  const rows = await sql.unsafe<DescribedTable[]>(DESCRIBE_TABLES, [JSON.stringify(wanted)])
  return mapping.tables.map(({ table, key, returning }, n) => {
    const found = rows.find((row) => row.n === n)
    if (!found) throw new PeerError('refused', `mapping.tables.${n}.table: the database has no table ${table}.`)
    if (found.is_table === false) {
      const advice = 'Rows are written into tables only: name the table behind it.'
      throw new PeerError('refused', `mapping.tables.${n}.table: ${table} is a view or a foreign table. ${advice}`)
    }
    const values = compiled[n]?.columns ?? []
    const names = [...values.map(([name]) => name), ...(returning === undefined ? [] : [returning])]
    const missing = names.filter((name) => !Object.hasOwn(found.columns, name))
    if (missing.length > 0)
      throw new PeerError('refused', `mapping.tables.${n}: table ${table} has no column ${missing.join(', ')}.`)
    const wantedKey = key.toSorted().join('\n')
    if (!found.keys?.some((names) => names.toSorted().join('\n') === wantedKey)) {
      const what = `table ${table} has no unique index on exactly (${key.join(', ')})`
      throw new PeerError('refused', `mapping.tables.${n}.key: ${what}, so rows of others could not be told apart.`)
    }
    const column = (name: string): Column => ({ name, type: found.columns[name] ?? 'text' })
    return {
      name: table,
      columns: values.map(([name, { varies, returned }]) => ({
        ...column(name),
        isConstant: !varies,
        returnedBy: returned === undefined ? undefined : mapping.tables.findIndex((other) => other.table === returned),
      })),
      key: key.map(column),
      returning: returning === undefined ? undefined : column(returning),
    }
  })
}

/** Returns the column that has the password hashes, if one has. */
function hashColumn({ tables }: TablesMapping): { index: number; name: string } | undefined {
  const isHash = (value: unknown) => (value as { $member?: unknown } | null)?.$member === 'password_hash'
  for (const [index, { columns }] of tables.entries())
    for (const [name, value] of Object.entries(columns)) if (isHash(value)) return { index, name }
  return undefined
}

/**
 * Writes a batch in a savepoint. If the database refuses a row, the batch is split until the refused users are known: one in a
 * hundred costs about ten more statements each. `nameOf` names a row that is to be removed.
 */
async function writeEach<Item extends Removal | Delivery>(
  tx: TransactionSql,
  items: Item[],
  write: (tx: TransactionSql, items: Item[]) => Promise<Outcome[]>,
  nameOf?: (item: Item) => string,
): Promise<Outcome[]> {
  if (items.length === 0) return []
  try {
    return await tx.savepoint((savepoint) => write(savepoint, items))
  } catch (error) {
    const [first] = items
    const refusal = refusalOf(error, first && nameOf?.(first))
    if (error instanceof Taken) {
      const isTaken = (_: Item, n: number) => error.users.has(n)
      const taken = items.filter(isTaken).map((item) => takenOutcome(item, error.table))
      const others = items.filter((item, n) => !isTaken(item, n))
      return [...taken, ...(await writeEach(tx, others, write, nameOf))]
    }
    if (!refusal) throw error
    if (items.length === 1 && first) return [{ userId: first.userId, external: first.external, refusal }]
    const half = items.length >> 1
    const before = await writeEach(tx, items.slice(0, half), write, nameOf)
    return [...before, ...(await writeEach(tx, items.slice(half), write, nameOf))]
  }
}
