import type { ISql, ReservedSql, Sql } from 'postgres'
import type { ImportConfig, OnConflict } from '../batches/batch-schema.ts'
import { type Failure, recordFailures } from '../batches/failures.ts'
import { makeIds } from '../batches/naming.ts'
import { refreshStatistics } from '../batches/unfinished.ts'
import { isReserved } from '../config/reserved-domain.ts'
import { inTransaction, withSession } from '../database/session.ts'
import { setLocal } from '../database/set-local.ts'
import { sqlState, UNIQUE_VIOLATION } from '../database/sqlstate.ts'
import { Problem } from '../errors.ts'
import { requireWritable } from '../pools/locks.ts'
import { applyRows, type Counts } from './apply-rows.ts'
import { importInvalid, MAX_ROW_FAULTS } from './problems.ts'
import { checkRow, type GivenRow, isFault, type Row, type RowFault } from './row.ts'
import { createStagedRows, RowStage, type Target } from './stage-rows.ts'

export interface NewImport {
  poolId: number
  label: string | null
  config: ImportConfig
  reservedDomains: string[]
  /** Maximum number of rows. */
  maxRows: number
  rows: AsyncIterable<GivenRow[]>
}

/** Maximum number of stored failures of an import; further ones are only counted. A small body can contain a million. */
const MAX_FAILURES = 10_000

/** How long an import waits for the previous import in its pool. It holds no other lock while it waits. */
const IMPORT_WAIT_MS = 60_000

/**
 * Imports rows into a pool as one batch. Rows are staged while they arrive, and applied in one transaction when all
 * have arrived. So a slow client holds no lock, and an import that ends early leaves nothing behind. The result is the
 * same as for rows applied one by one in order. Returns the id of the finished batch. Throws what `rows` throws,
 * `body_too_large`, `import_invalid`, `import_conflict` and `pool_is_replica`.
 */
export async function importUsers(uploads: Sql, { poolId, label, config, ...input }: NewImport): Promise<string> {
  const { batchId, userIdPrefix } = makeIds()
  const target = { poolId, batchId, userIdPrefix }
  try {
    return await withSession(uploads, async (session) => {
      await requireWritable(session, poolId) // reject early, before the client sends everything
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
  /** The first invalid rows. */
  faults: Failure[]
  faultCount: number
}

/** Stages the valid rows. Throws `import_invalid` if a row is invalid and `on_conflict` is `fail`. */
async function stageRows(
  session: ReservedSql,
  target: Target,
  onConflict: OnConflict,
  { rows, reservedDomains, maxRows }: Pick<NewImport, 'rows' | 'reservedDomains' | 'maxRows'>,
): Promise<Staged> {
  await createStagedRows(session)
  const stage = new RowStage(session, target)
  const rowFaults: RowFault[] = []
  const faults: Failure[] = []
  let faultCount = 0
  for await (const row of judged(rows, reservedDomains, maxRows)) {
    if (!isFault(row)) {
      // Nothing will be imported. The rest is read only to report its faults.
      if (onConflict !== 'fail' || faultCount === 0) await stage.add(row)
      continue
    }
    faultCount++
    if (onConflict === 'fail') {
      rowFaults.push(row)
      if (rowFaults.length === MAX_ROW_FAULTS) break
    } else if (faults.length < MAX_FAILURES) {
      faults.push(withoutRealAddress(row, reservedDomains))
    }
  }
  if (onConflict === 'fail' && rowFaults.length > 0) throw importInvalid(rowFaults)
  await stage.flush()
  return { pageEnds: stage.pageEnds, faults, faultCount }
}

async function* judged(
  rows: AsyncIterable<GivenRow[]>,
  reservedDomains: string[],
  maxRows: number,
): AsyncGenerator<Row | RowFault, void, void> {
  let n = 0
  for await (const some of rows) {
    if (n + some.length > maxRows) {
      throw new Problem(
        'body_too_large',
        `The import has more than ${maxRows} rows (MAX_BATCH_USERS). Send it in parts.`,
      )
    }
    for (const row of some) yield checkRow(++n, row, reservedDomains)
  }
}

/** The failure as it is stored. It omits an address that may belong to a real person, and the username with it. */
function withoutRealAddress({ n, code, username, email }: RowFault, reservedDomains: string[]): Failure {
  const mayBeReal = (name: string) => name.includes('@') && !isReserved(name, reservedDomains)
  const isHidden = code === 'domain_not_reserved' || mayBeReal(username) || mayBeReal(email)
  return isHidden ? { n, code, username: '', email: '' } : { n, code, username, email }
}

/**
 * Waits until no other import applies rows to the pool. Otherwise two imports that change the same users would wait for
 * each other's row locks, and meet the shorter lock timeout or a deadlock.
 */
async function waitForOtherImports(session: ISql, poolId: number): Promise<void> {
  await setLocal(session, { lock_timeout: `${IMPORT_WAIT_MS}ms` })
  await session`select pg_advisory_xact_lock(hashtextextended(current_schema() || ' import', ${poolId}))`
  await session`set local lock_timeout to default`
}

/** Applies the staged rows, and stores the counts and failures. Returns the number of rows. */
async function apply(session: ISql, target: Target, onConflict: OnConflict, staged: Staged): Promise<number> {
  const { pageEnds, faults, faultCount } = staged
  const { notTaken, ...counts } = await applyRows(session, target, onConflict, pageEnds, MAX_FAILURES)
  counts.failed += faultCount
  const failures = [...faults, ...notTaken].sort((a, b) => a.n - b.n).slice(0, MAX_FAILURES)
  if (failures.length > 0) await recordFailures(session, target.poolId, target.batchId, failures)
  await finishImportBatch(session, target, counts)
  return counts.created + counts.updated + counts.skipped + counts.failed
}

/** Returns the time at which the upload began, by the database's clock. */
async function readStart(session: ISql): Promise<string> {
  const [row] = await session<{ at: string }[]>`select now()::text as at`
  return row?.at ?? ''
}

/** Writes the batch of an import. It is not visible before the import commits, so no dispatcher takes it for work. */
async function insertImportBatch(
  session: ISql,
  { poolId, batchId }: Target,
  { label, config, startedAt }: { label: string | null; config: ImportConfig; startedAt: string },
): Promise<void> {
  await session`
    insert into batches (pool_id, id, kind, label, status, total_requested, first_user_number, first_credential_id,
      username_pattern, email_suffix, config, created_at, started_at)
    values (${poolId}, ${batchId}, 'import', ${label}, 'completed', 0, 0, 0, '', '', ${JSON.stringify(config)},
      ${startedAt}, ${startedAt})`
}

/** Stores the result of the import in its batch. */
async function finishImportBatch(
  session: ISql,
  { poolId, batchId }: Target,
  { created, updated, skipped, failed }: Counts,
): Promise<void> {
  await session`
    with moment as materialized (select clock_timestamp() as at)
    update batches set total_requested = ${created + updated + skipped + failed}, created_count = ${created},
      updated_count = ${updated}, skipped_count = ${skipped}, failed_count = ${failed}, chunk_count = 1,
      peak_memory_bytes = ${process.memoryUsage.rss()}, finished_at = moment.at,
      status = ${failed > 0 ? 'completed_with_failures' : 'completed'}
    from moment where pool_id = ${poolId} and id = ${batchId}`
}
