import type { ISql, Sql } from 'postgres'
import { forceIndexScans } from '../../database/index-order.ts'
import { ndjsonRequest } from '../../export/export-request.ts'
import type { Exports } from '../../export/exports.ts'
import { type ExportRow, readExport } from '../../protocol/read-export.ts'
import { characters } from '../../protocol/text.ts'
import { lookUpScope, type ScopeState } from '../../states/scope-state.ts'
import type { Outcome } from '../sync-runs.ts'
import type { Target } from '../targets.ts'
import { requireClaim, type Work } from './claim.ts'
import { hasOpenResends, takeResends } from './resends.ts'

/** What a run compares, in the members of its outcome. */
export type Plan = Pick<Outcome, 'kind' | 'base' | 'state'>

/** A plan, and whether users of the filter without a row in sink_users are due after it. */
interface Planned {
  plan: Plan
  /** The version of the filter's scope that has the state of the plan. Null: the plan clears the sink. */
  version: string | null
  isFilling: boolean
}

interface PlanOptions {
  sql: Sql
  exports: Exports
  target: Target
  full: boolean
  clear: boolean
  /** The claim that plans. Undefined for a dry run. */
  work?: Work
}

/**
 * Marks the users of which the target may differ from the present state as due, and records that state, in one transaction: after a
 * crash the work is neither lost nor planned twice. Passes that transaction to `use`, and returns what `use` returns. Throws ClaimLost,
 * `pool_not_found` and `overloaded`.
 *
 * A delta begins with the planned version, not with any version that had the planned state. An example. A seeded batch is deleted while a
 * run fills the sink, so the run finds no more users, and is made again, which gives the same state. The sink lacks users, and the delta
 * from the last version with that state is empty. So all users are compared.
 */
export async function planRun<Result>(
  options: PlanOptions,
  use: (planned: Planned, tx: ISql) => Promise<Result>,
): Promise<Result> {
  const { sql, exports, target, full, clear } = options
  const { plannedState, plannedVersion, isFilling } = target
  if (clear) {
    return await inTransaction(options, use, async (tx) => {
      await markAll(tx, target)
      return { plan: { kind: 'full', base: plannedState, state: null }, version: null, isFilling: false }
    })
  }
  const { state: present, version } = await exports.currentScope(target)
  if (plannedState === present && plannedVersion === version && !full) {
    const planned: Planned = { plan: { kind: 'unchanged', base: present, state: present }, version, isFilling }
    if (!(await hasOpenResends(sql, target))) return await use(planned, sql)
    return await inTransaction(options, use, async () => planned)
  }
  if (plannedState !== null && !full) {
    const opened = await exports.openDirect(ndjsonRequest(target, plannedState))
    try {
      const { plan, state, version } = opened
      if (plan.kind !== 'full' && plan.base.version === plannedVersion) {
        return await inTransaction(options, use, async (tx) => {
          await markChanged(tx, target, characters(opened.text))
          return { plan: { kind: 'delta', base: plannedState, state }, version, isFilling }
        })
      }
    } finally {
      await opened.text.return()
      await opened.release()
    }
  }
  return await inTransaction(options, use, async (tx) => {
    const { state, version } = await markFull(tx, target)
    return { plan: { kind: 'full', base: null, state }, version, isFilling: true }
  })
}

/** Plans in a transaction. The claim is checked last, because renewals of leases wait for it. */
async function inTransaction<Result>(
  { sql, target, work }: PlanOptions,
  use: (planned: Planned, tx: ISql) => Promise<Result>,
  mark: (tx: ISql) => Promise<Planned>,
): Promise<Result> {
  const result = await sql.begin(async (tx) => {
    await forceIndexScans(tx)
    const planned = await mark(tx)
    await takeResends(tx, target, work?.run.id ?? null)
    if (work) {
      await requireClaim(tx, work)
      await recordPlan(tx, target, planned)
    }
    return await use(planned, tx)
  })
  return result as Result
}

/** Users per statement. An export comes in pages of about a hundred, and a statement for each took twice as long. */
const USERS_A_STATEMENT = 5_000

/** Marks the users of a delta, as they arrive. */
async function markChanged(tx: ISql, target: Target, text: AsyncIterable<string>): Promise<void> {
  const { pages } = await readExport(text)
  let rows: ExportRow[] = []
  const mark = async () => {
    const deleted = rows.flatMap((row) => ('deleted' in row ? [row.deleted] : []))
    const changed = rows.flatMap((row) => ('id' in row ? [row.id] : []))
    rows = []
    if (deleted.length > 0) await markHeld(tx, target, deleted)
    if (changed.length > 0) await markUsers(tx, target, changed)
  }
  for await (const page of pages) {
    for (const row of page) rows.push('id' in row ? { id: row.id, line: '' } : row)
    if (rows.length >= USERS_A_STATEMENT) await mark()
  }
  await mark()
}

async function markHeld(tx: ISql, { poolId, name }: Target, ids: string[]): Promise<void> {
  await tx`
    update sink_users set is_due = true
    where pool_id = ${poolId} and target = ${name} and user_id = any(${ids}::uuid[])`
}

async function markUsers(tx: ISql, { poolId, name }: Target, ids: string[]): Promise<void> {
  await tx`
    insert into sink_users (pool_id, target, user_id, is_due) select ${poolId}, ${name}, id, true from unnest(${ids}::uuid[]) id
    on conflict (pool_id, target, user_id) do update set is_due = true`
}

/**
 * Marks all users that the target has. Those that it does not have are due without a mark (`isFilling`). Returns the state, which is
 * read first: what changes before the users are read is due, and part of the delta from that state as well.
 */
async function markFull(tx: ISql, target: Target): Promise<ScopeState> {
  const scope = await lookUpScope(tx, target.pool, target.filter)
  await markAll(tx, target)
  return scope
}

async function markAll(tx: ISql, { poolId, name }: Target): Promise<void> {
  await tx`
    update sink_users set is_due = true where pool_id = ${poolId} and target = ${name} and not is_due`
}

async function recordPlan(tx: ISql, { poolId, name }: Target, { plan, version, isFilling }: Planned): Promise<void> {
  await tx`
    update targets set planned_state = ${plan.state}, planned_version = ${version}, is_filling = ${isFilling}
    where pool_id = ${poolId} and name = ${name}`
}
