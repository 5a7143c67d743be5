import type { ISql, Sql, TransactionSql } from 'postgres'
import { forceIndexScans } from '../../database/index-order.ts'

/** The claim of a run (sync-runs.ts). */
export interface Claim {
  claim: string
  poolId: number
  id: string
  target: string
}

/** A run's claim, and when the settings that it works with were set. */
export interface Work {
  run: Claim
  updatedAt: string
}

/** Thrown if a run belongs to another claim now: nothing of this one may be committed anywhere. */
export class ClaimLost extends Error {
  override name = 'ClaimLost'

  constructor() {
    super('the run belongs to another claim')
  }
}

/**
 * Keeps the run with its claim, and the target with the settings that the run has read, until the transaction ends. So a changed
 * mapping never meets rows of the former one. Throws ClaimLost. Renewals and schedules wait for these locks.
 */
export async function requireClaim(tx: ISql, { run, updatedAt }: Work): Promise<void> {
  const { poolId, id, claim, target } = run
  const { count } = await tx`
    select from sync_runs r join targets t on t.pool_id = r.pool_id and t.name = r.target
    where r.pool_id = ${poolId} and r.id = ${id} and r.status = 'running' and r.holder = ${claim}
      and t.name = ${target} and rfc3339(t.updated_at) = ${updatedAt}
    for share of r, t`
  if (count === 0) throw new ClaimLost()
}

/** Runs a short transaction that only the claim of the run may commit. It looks up rows by their keys. Throws ClaimLost. */
export async function inClaim(sql: Sql, work: Work, task: (tx: TransactionSql) => Promise<void>): Promise<void> {
  await sql.begin(async (tx) => {
    await forceIndexScans(tx)
    await requireClaim(tx, work)
    await task(tx)
  })
}
