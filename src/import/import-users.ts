import type { ISql, ReservedSql, Sql } from 'postgres'
import type { ImportConfig, OnConflict } from '../batches/batch-schema.ts'
import { type Failure, recordFailures } from '../batches/failures.ts'
import { makeIds } from '../batches/naming.ts'
import { refreshStatistics } from '../batches/unfinished.ts'
import { isReserved } from '../config/reserved-domain.ts'
import { inTransaction, withSession } from '../database/session.ts'
import { sqlState, UNIQUE_VIOLATION } from '../database/sqlstate.ts'
import { Problem } from '../errors.ts'
import { requireWritable } from '../pools/locks.ts'
import { applyRows } from './apply-rows.ts'
import { finishImportBatch, insertImportBatch, readStart } from './import-batch.ts'
import { importInvalid, MOST_FAULTS } from './problems.ts'
import type { GivenRow } from './row.ts'
import { checkRow, isFault, type Row, type RowFault } from './row.ts'
import { createStagedRows, RowStage, type Target } from './stage-rows.ts'

export interface NewImport {
  poolId: number
  label: string | null
  config: ImportConfig
  reservedDomains: string[]
  /** The most rows that it may have. */
  mostRows: number
  rows: AsyncIterable<GivenRow[]>
}

/** Failures stored of one import; the others are counted. A small body can have a million of them. */
export const MOST_FAILURES = 10_000

/** How long an import waits for the one before it in its pool. It holds no other lock while it waits. */
const IMPORT_WAIT_MS = 60_000

/**
 * Takes rows into a pool as one batch. Rows are staged as they arrive, and applied in one transaction when all are there: a
 * slow client holds no lock, and whatever ends the import early, nothing of it stays. The result is that of rows taken one by
 * one in their order. Returns the id of the batch, which is finished. Throws what `rows` throws, `body_too_large`,
 * `import_invalid`, `import_conflict` and `pool_is_replica`.
 */
export async function importUsers(uploads: Sql, { poolId, label, config, ...input }: NewImport): Promise<string> {
  const { batchId, userIdPrefix } = makeIds()
  const target = { poolId, batchId, userIdPrefix }
  try {
    return await withSession(uploads, async (session) => {
      await requireWritable(session, poolId) // a client need not send what will be refused
      const startedAt = await readStart(session)
      const staged = await stageRows(session, target, config.on_conflict, input)
      const read = await inTransaction(session, async () => {
        await waitForOtherImports(session, poolId)
        await requireWritable(session, poolId)
        await insertImportBatch(session, target, { label, config, startedAt })
        return await apply(session, target, config.on_conflict, staged)
      })
      await refreshStatistics(session, read)
      return batchId
    })
  } catch (error) {
    if (sqlState(error) !== UNIQUE_VIOLATION) throw error
    // Another writer took a name after the rows were compared with the pool.
    throw new Problem('import_conflict', 'Another writer changed the same users. Nothing was kept; send it again.', {
      cause: error,
    })
  }
}

interface Staged {
  pageEnds: number[]
  /** The first of the rows that cannot be taken, whatever the pool holds. */
  faults: Failure[]
  faultCount: number
}

/** Stages the rows that can be taken. Throws `import_invalid` where one cannot and all or nothing is wanted. */
async function stageRows(
  session: ReservedSql,
  target: Target,
  onConflict: OnConflict,
  { rows, reservedDomains, mostRows }: Pick<NewImport, 'rows' | 'reservedDomains' | 'mostRows'>,
): Promise<Staged> {
  await createStagedRows(session)
  const stage = new RowStage(session, target)
  const told: RowFault[] = []
  const faults: Failure[] = []
  let faultCount = 0
  for await (const row of judged(rows, reservedDomains, mostRows)) {
    if (!isFault(row)) {
      // Nothing will be kept; the rest is read for its faults alone.
      if (onConflict !== 'fail' || faultCount === 0) await stage.add(row)
      continue
    }
    faultCount++
    if (onConflict === 'fail') {
      told.push(row)
      if (told.length === MOST_FAULTS) break
    } else if (faults.length < MOST_FAILURES) {
      faults.push(withoutRealAddress(row, reservedDomains))
    }
  }
  if (onConflict === 'fail' && told.length > 0) throw importInvalid(told)
  await stage.flush()
  return { pageEnds: stage.pageEnds, faults, faultCount }
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

/** The failure as it is stored. An address that may belong to a real person is left out, with the name beside it. */
function withoutRealAddress({ n, code, username, email }: RowFault, reservedDomains: string[]): Failure {
  const mayBeReal = (name: string) => name.includes('@') && !isReserved(name, reservedDomains)
  const isHidden = code === 'domain_not_reserved' || mayBeReal(username) || mayBeReal(email)
  return isHidden ? { n, code, username: '', email: '' } : { n, code, username, email }
}

/**
 * Waits until no other import applies its rows to the pool. Two that change the same users would otherwise wait for each
 * other's rows with locks of their own, and meet the shorter timeout or a deadlock.
 */
async function waitForOtherImports(session: ISql, poolId: number): Promise<void> {
  await session`select set_config('lock_timeout', ${`${IMPORT_WAIT_MS}ms`}, true)`
  await session`select pg_advisory_xact_lock(hashtextextended(current_schema() || ' import', ${poolId}))`
  await session`set local lock_timeout to default`
}

/** Applies the staged rows, and writes the counts and failures. Returns the number of rows. */
async function apply(session: ISql, target: Target, onConflict: OnConflict, staged: Staged): Promise<number> {
  const { pageEnds, faults, faultCount } = staged
  const { notTaken, ...counts } = await applyRows(session, target, onConflict, pageEnds, MOST_FAILURES)
  counts.failed += faultCount
  const failures = [...faults, ...notTaken].sort((a, b) => a.n - b.n).slice(0, MOST_FAILURES)
  if (failures.length > 0) await recordFailures(session, target.poolId, target.batchId, failures)
  await finishImportBatch(session, target, counts)
  return counts.created + counts.updated + counts.skipped + counts.failed
}
