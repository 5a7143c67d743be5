import type { Fragment, ISql, Sql, TransactionSql } from 'postgres'
import { type Page, readPage } from '../database/page.ts'
import { sqlState, UNIQUE_VIOLATION } from '../database/sqlstate.ts'
import { Problem } from '../errors.ts'
import { serializeCreations } from '../pools/locks.ts'
import { targetHoldsUsers } from '../pools/pools.ts'
import type { State } from '../protocol/state.ts'
import { decrypt, encrypt } from '../secrets/encryption.ts'
import type { Filter } from '../states/filter.ts'
import type { Canary } from './canary/canary-settings.ts'
import type { Limits } from './kinds/kind.ts'
import type { SinkKind } from './kinds/kinds.ts'
import { holdsUsers } from './sinks/announcements.ts'

/** A receiver that a pool is pushed to, or a system under test that follows the pool. */
export interface Target {
  poolId: number
  /** The name of the pool that is pushed. */
  pool: string
  name: string
  kind: 'usersync' | SinkKind
  url: string
  /** The receiver's key or password. Undefined if it needs none. */
  key: string | undefined
  remotePool: string
  filter: Omit<Filter, 'poolId'>
  /** What each user becomes in a sink. Null for `usersync`. */
  mapping: object | null
  limits: Limits
  /** How some users of a sink log in after a run. Null: none do. */
  canary: Canary | null
  /** The state whose difference to a sink is recorded. Null: none. */
  plannedState: State | null
  /** The version of the filter's scope that had the planned state. Text, as in a ScopeState. */
  plannedVersion: string | null
  /** Whether users that a sink has never had are due, too, without a record of each. */
  isFilling: boolean
  intervalSeconds: number | null
  createdAt: string
  updatedAt: string
}

/** The members of a target that can be changed. */
export type TargetSettings = Pick<
  Target,
  'kind' | 'url' | 'key' | 'remotePool' | 'filter' | 'mapping' | 'limits' | 'canary' | 'intervalSeconds'
>

interface TargetRow {
  pool_id: number
  pool: string
  name: string
  kind: Target['kind']
  url: string
  key_ciphertext: Buffer | null
  remote_pool: string
  batch_id: string | null
  test_users_only: boolean
  bulk_users_only: boolean
  mapping: object | null
  limits: Limits
  canary: Canary | null
  planned_state: State | null
  planned_version: string | null
  is_filling: boolean
  interval_seconds: number | null
  created_at: string
  updated_at: string
}

/** Maximum number of targets per pool: each uses a connection while it is pushed to. */
export const MAX_TARGETS = 100

/** For every look-up of a target that finds none. */
export const targetNotFound = () => new Problem('target_not_found', 'GET /v1/targets lists those that there are.')

/** Binds the encrypted key to its target, so that it cannot be swapped with another target's. */
const keyContext = (poolId: number, name: string) => `key of target ${name} of pool ${poolId}`

function targetOf(row: TargetRow, encryptionKey: Buffer): Target {
  const { pool_id: poolId, pool, name, kind, url, key_ciphertext: sealed, mapping, limits } = row
  return {
    poolId,
    pool,
    name,
    kind,
    url,
    key: sealed ? decrypt(encryptionKey, sealed, keyContext(poolId, name)) : undefined,
    remotePool: row.remote_pool,
    filter: {
      batchId: row.batch_id ?? undefined,
      testUsersOnly: row.test_users_only,
      bulkUsersOnly: row.bulk_users_only,
    },
    mapping,
    limits,
    canary: row.canary,
    plannedState: row.planned_state,
    plannedVersion: row.planned_version,
    isFilling: row.is_filling,
    intervalSeconds: row.interval_seconds,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}

/** The columns of a row `t` of targets, in the pool `p`. */
function targetColumns(sql: ISql): Fragment {
  return sql`t.pool_id, p.name as pool, t.name, t.kind, t.url, t.key_ciphertext, t.remote_pool, t.batch_id, t.test_users_only,
    t.bulk_users_only, t.mapping, t.limits, t.canary, t.planned_state, t.planned_version, t.is_filling,
    t.interval_seconds, rfc3339(t.created_at) as created_at, rfc3339(t.updated_at) as updated_at`
}

/** Returns the target with this name. Throws `target_not_found`. */
export async function readTarget(sql: Sql, encryptionKey: Buffer, poolId: number, name: string): Promise<Target> {
  const [row] = await sql<TargetRow[]>`
    select ${targetColumns(sql)} from targets t join pools p on p.id = t.pool_id
    where t.pool_id = ${poolId} and t.name = ${name}`
  if (!row) throw targetNotFound()
  return targetOf(row, encryptionKey)
}

/** Returns one page of a pool's targets by name: those after `after`. */
export async function listTargets(
  sql: Sql,
  encryptionKey: Buffer,
  { poolId, after, limit }: { poolId: number; after: string; limit: number },
): Promise<Page<Target>> {
  const { rows, hasMore } = await readPage(
    sql,
    limit,
    (sql, rows) => sql<TargetRow[]>`
      select ${targetColumns(sql)} from targets t join pools p on p.id = t.pool_id
      where t.pool_id = ${poolId} and t.name > ${after} order by t.name limit ${rows}`,
  )
  return { rows: rows.map((row) => targetOf(row, encryptionKey)), hasMore }
}

/** Creates a target. One with an interval is due at once. Throws `pool_not_found`, `target_exists`, `target_limit`. */
export async function createTarget(
  sql: Sql,
  encryptionKey: Buffer,
  { poolId, name, ...settings }: TargetSettings & { poolId: number; name: string },
): Promise<void> {
  const columns = { pool_id: poolId, name, ...columnsOf(settings, encryptionKey, poolId, name) }
  try {
    await sql.begin(async (tx) => {
      await serializeCreations(tx, poolId)
      const [row] = await tx<{ count: number }[]>`select count(*)::int as count from targets where pool_id = ${poolId}`
      if ((row?.count ?? 0) >= MAX_TARGETS) {
        throw new Problem('target_limit', `A pool has at most ${MAX_TARGETS} targets. Delete one first.`)
      }
      await tx`insert into targets ${tx(columns)}`
      await scheduleNext(tx, poolId, name)
    })
  } catch (error) {
    if (sqlState(error) !== UNIQUE_VIOLATION) throw error
    throw new Problem('target_exists', `The target ${name} already exists. PATCH changes it.`, { cause: error })
  }
}

/**
 * Changes a target; members that are left out stay. Throws `target_not_found`, and `invalid_request` if the URL changes and the key
 * is not sent again. Otherwise anyone who may change a target could redirect its key to their own server. Throws `target_holds_users` if
 * the url or mapping of a sink changes while it has users of ours: they could not be found again.
 */
export async function changeTarget(
  sql: Sql,
  encryptionKey: Buffer,
  { poolId, name, ...change }: Partial<TargetSettings> & { poolId: number; name: string },
): Promise<void> {
  await sql.begin(async (tx) => {
    const [row] = await tx<{ url: string; key_ciphertext: Buffer | null }[]>`
      select url, key_ciphertext from targets where pool_id = ${poolId} and name = ${name} for no key update`
    if (!row) throw targetNotFound()
    if (change.url !== undefined && change.url !== row.url && row.key_ciphertext !== null && !('key' in change)) {
      const errors = [{ path: 'body.key', code: 'missing_member', message: 'is required if the url changes' }]
      throw new Problem('invalid_request', 'The url changes: send the key for the new url, or null.', { errors })
    }
    const moves = (change.url !== undefined && change.url !== row.url) || change.mapping !== undefined
    if (moves && (await holdsUsers(tx, { poolId, name }))) throw targetHoldsUsers([name])
    const columns = columnsOf(change, encryptionKey, poolId, name)
    await tx`
      update targets set ${tx(columns)}, updated_at = now()
      where pool_id = ${poolId} and name = ${name}`
    if ('intervalSeconds' in change) await scheduleNext(tx, poolId, name)
  })
}

/** Makes a target due now if it has an interval, and never if it has none. */
async function scheduleNext(sql: TransactionSql, poolId: number, name: string): Promise<void> {
  await sql`
    update targets t set next_run_at = n.at
    from (
      select case when interval_seconds is not null then now() end as at from targets
      where pool_id = ${poolId} and name = ${name} offset 0
    ) n
    where t.pool_id = ${poolId} and t.name = ${name}`
}

/**
 * Deletes a target, and its runs by a foreign key. A push in progress ends by itself. Throws `target_not_found`, and without `force`
 * `target_holds_users` if a sink has users of ours.
 */
export async function deleteTarget(
  sql: Sql,
  { poolId, name, force }: { poolId: number; name: string; force: boolean },
): Promise<void> {
  await sql.begin(async (tx) => {
    // A run that plans or sends users keeps the target's row: `for update` waits for it.
    const { count } = await tx`select from targets where pool_id = ${poolId} and name = ${name} for update`
    if (count === 0) throw targetNotFound()
    if (!force && (await holdsUsers(tx, { poolId, name }))) throw targetHoldsUsers([name])
    await tx`delete from targets where pool_id = ${poolId} and name = ${name}`
  })
}

/** The columns of the given settings. */
function columnsOf(settings: Partial<TargetSettings>, encryptionKey: Buffer, poolId: number, name: string) {
  const { kind, url, key, remotePool, filter, mapping, limits, canary, intervalSeconds } = settings
  return {
    ...(kind !== undefined && { kind }),
    ...(url !== undefined && { url }),
    ...('key' in settings && {
      key_ciphertext: key === undefined ? null : encrypt(encryptionKey, key, keyContext(poolId, name)),
    }),
    ...(remotePool !== undefined && { remote_pool: remotePool }),
    ...(filter && {
      batch_id: filter.batchId ?? null,
      test_users_only: filter.testUsersOnly,
      bulk_users_only: filter.bulkUsersOnly,
      planned_state: null, // a state of another filter
    }),
    ...(mapping && { mapping: JSON.stringify(mapping) }),
    ...(limits && { limits: JSON.stringify(limits) }),
    ...(canary !== undefined && { canary: canary && JSON.stringify(canary) }),
    ...(intervalSeconds !== undefined && { interval_seconds: intervalSeconds }),
  }
}
