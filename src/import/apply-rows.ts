import type { ISql } from 'postgres'
import type { Failure } from '../batches/failures.ts'
import type { OnConflict } from '../batches/import-config.ts'
import { Problem } from '../errors.ts'
import { importConflict } from './faults.ts'
import type { Counts } from './import-batch.ts'
import { independentRows } from './independent-rows.ts'
import { findConflicts, insertRows } from './insert-rows.ts'
import type { Page } from './page-rows.ts'
import type { Target } from './stage-rows.ts'
import { updateRows } from './update-rows.ts'

/** Rows that change one another's users are applied one by one; their locks must end even so. */
const LONGEST_APPLY_MS = 300_000

/** What became of the staged rows. A row that `on_conflict=skip` leaves out counts as skipped, and is told like a failure. */
export interface Applied extends Counts {
  notTaken: Failure[]
}

/**
 * Brings the staged rows into the pool, as if one by one in their order. Keeps the first `keep` of those that are not taken.
 * Throws `import_conflict` where `on_conflict` is `fail` and a row's id, username or email is taken, and `body_too_large`.
 */
export async function applyRows(
  session: ISql,
  target: Target,
  onConflict: OnConflict,
  pageEnds: number[],
  keep: number,
): Promise<Applied> {
  const applied: Applied = { created: 0, updated: 0, skipped: 0, failed: 0, notTaken: [] }
  const deadline = performance.now() + LONGEST_APPLY_MS
  let next = 1
  let size = Number.POSITIVE_INFINITY
  for (const end of pageEnds) {
    while (next <= end) {
      if (performance.now() > deadline) throw tooEntangled()
      const wanted = { first: next, last: Math.min(end, next + size - 1) }
      const page = onConflict === 'update' ? await independentRows(session, wanted) : wanted
      // Where rows depend on one another, a long look ahead would be wasted again and again.
      size = 2 * (page.last - page.first + 1)
      const notTaken = await applyPage(session, target, onConflict, page, applied)
      applied.notTaken.push(...notTaken.slice(0, keep - applied.notTaken.length))
      next = page.last + 1
    }
  }
  return applied
}

async function applyPage(session: ISql, target: Target, onConflict: OnConflict, page: Page, counts: Counts) {
  const judged = onConflict === 'update' ? await updateRows(session, page) : []
  const refused = judged.filter((row): row is typeof row & Failure => row.code !== null)
  const changed = judged.filter((row) => row.changed).length
  counts.updated += changed
  counts.skipped += judged.length - refused.length - changed

  const found = judged.map(({ n }) => n)
  const { missing, left } = await insertRows(session, target, page, found)
  const conflicts = left.length === 0 ? [] : await findConflicts(session, page, left)
  if (onConflict === 'fail' && conflicts[0]) throw importConflict(conflicts[0])
  counts.created += missing - conflicts.length
  counts.failed += refused.length
  counts[onConflict === 'skip' ? 'skipped' : 'failed'] += conflicts.length
  return [...refused, ...conflicts].sort((a, b) => a.n - b.n)
}

const tooEntangled = () =>
  new Problem(
    'body_too_large',
    `Its rows change the same users so often that it takes longer than ${LONGEST_APPLY_MS / 60_000} minutes. Nothing was kept; send it in parts.`,
  )
