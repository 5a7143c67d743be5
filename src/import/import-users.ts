import type { Sql, TransactionSql } from 'postgres'
import { type Failure, recordFailures } from '../batches/failures.ts'
import type { ImportConfig, OnConflict } from '../batches/import-config.ts'
import { makeIds } from '../batches/plan.ts'
import { refreshStatistics } from '../batches/refresh-statistics.ts'
import { sqlState } from '../database/connection.ts'
import { Problem } from '../errors.ts'
import { requireWritable } from '../pools/writable-pool.ts'
import { checkRow, isFault, type Row, type RowFault } from './check-row.ts'
import { importConflict, importInvalid, MOST_FAULTS } from './faults.ts'
import type { GivenRow } from './given-row.ts'
import { finishImportBatch, insertImportBatch } from './import-batch.ts'
import { insertPage, tellConflicts } from './insert-page.ts'
import { MOST_ROWS, Page } from './page.ts'
import type { Target } from './page-rows.ts'
import { updatePage } from './update-page.ts'
import { waitForSenders } from './wait-for-senders.ts'

export interface NewImport {
  poolId: number
  label: string | null
  config: ImportConfig
  reservedDomains: string[]
  /** The most rows that it may have. */
  mostRows: number
  rows: AsyncIterable<GivenRow[]>
}

/** A name that another writer took between two looks at it, a deadlock, a serialisation failure. */
const OF_ANOTHER_WRITER = /^(23505|40P01|40001)$/

/**
 * Takes rows into a pool as one batch and one transaction: whatever ends it early, nothing of it stays. Rows are taken in
 * their order, as if one by one. Gives the id of the batch, which is finished. Throws what `rows` throws, `body_too_large`,
 * `import_invalid`, `import_conflict` and `pool_is_replica`.
 */
export async function importUsers(
  sql: Sql,
  { poolId, label, config, reservedDomains, mostRows, rows }: NewImport,
): Promise<string> {
  const { batchId, userIdPrefix } = makeIds()
  const target = { poolId, batchId, userIdPrefix }
  try {
    const read = await sql.begin(async (tx) => {
      await waitForSenders(tx)
      await requireWritable(tx, poolId)
      await insertImportBatch(tx, target, label, config)
      const counts = await writeRows(tx, target, config.on_conflict, judged(rows, reservedDomains, mostRows))
      await finishImportBatch(tx, target, counts)
      return counts.read
    })
    await refreshStatistics(sql, read)
    return batchId
  } catch (error) {
    if (!OF_ANOTHER_WRITER.test(sqlState(error) ?? '')) throw error
    throw new Problem('import_conflict', 'Another writer was in the way. Nothing was kept; send it again.', {
      cause: error,
    })
  }
}

async function* judged(
  rows: AsyncIterable<GivenRow[]>,
  reservedDomains: string[],
  mostRows: number,
): AsyncGenerator<Row | RowFault, void, void> {
  let n = 0
  for await (const some of rows) {
    if (n + some.length > mostRows) {
      throw new Problem('body_too_large', `It has more than ${mostRows} rows (MAX_BATCH_USERS). Send it in parts.`)
    }
    for (const row of some) yield checkRow(++n, row, reservedDomains)
  }
}

async function writeRows(
  tx: TransactionSql,
  target: Target,
  onConflict: OnConflict,
  rows: AsyncIterable<Row | RowFault>,
) {
  const counts = { read: 0, failed: 0 }
  let page = new Page()
  let faults: RowFault[] = []

  async function flush() {
    const failures: Failure[] = [...faults, ...(await writePage(tx, target, onConflict, page.rows))]
    if (failures.length > 0) await recordFailures(tx, target.poolId, target.batchId, failures)
    counts.failed += failures.length
    page = new Page()
    faults = []
  }

  for await (const row of rows) {
    counts.read++
    if (isFault(row)) faults.push(row)
    if (onConflict === 'fail' && faults.length > 0) {
      // Nothing will be kept; the rest is read for its faults alone.
      if (faults.length === MOST_FAULTS) break
      continue
    }
    // Two changes of one user are two statements, or PostgreSQL would take either of them.
    if (!isFault(row) && onConflict === 'update' && page.hasNameOf(row)) await flush()
    if (!isFault(row)) page.add(row)
    if (page.isFull() || faults.length >= MOST_ROWS) await flush()
  }
  if (onConflict === 'fail' && faults.length > 0) throw importInvalid(faults)
  await flush()
  return counts
}

/** Writes a page of rows, and gives those of them that could not be taken. Throws `import_conflict` where all or none is asked. */
async function writePage(tx: TransactionSql, target: Target, onConflict: OnConflict, rows: Row[]): Promise<Failure[]> {
  if (rows.length === 0) return []
  const there = onConflict === 'update' ? await updatePage(tx, target, rows) : []
  const outcomes = new Map(there.map((row) => [row.n, row.code]))
  const failures = there.filter((row): row is Failure => row.code !== null && row.code !== 'again')
  const missing = rows.filter(({ n }) => !outcomes.has(n))
  if (missing.length > 0) failures.push(...(await insertMissing(tx, target, onConflict, missing)))
  const again = rows.filter(({ n }) => outcomes.get(n) === 'again')
  return [...failures, ...(await writePage(tx, target, onConflict, again))]
}

async function insertMissing(tx: TransactionSql, target: Target, onConflict: OnConflict, rows: Row[]) {
  const left = new Set(await insertPage(tx, target, rows))
  if (left.size === 0) return []
  const inTheWay = rows.filter(({ n }) => left.has(n))
  const conflicts = await tellConflicts(tx, target, inTheWay)
  if (onConflict === 'fail' && conflicts[0]) throw importConflict(conflicts[0])
  return conflicts
}
