import type { ISql, Sql } from 'postgres'
import { refreshStatistics } from '../batches/refresh-statistics.ts'
import { inTransaction, withSession } from '../database/session.ts'
import { Problem } from '../errors.ts'
import { lookUpScope } from '../export/scope-state.ts'
import { lockPool } from '../pools/lock-pool.ts'
import { declareReplica } from '../pools/replica.ts'
import { type ExportHead, readExport } from '../sync/read-export.ts'
import { applyStaged, type Counts } from './apply-staged.ts'
import { asProblem } from './faults.ts'
import { stageExport } from './stage-export.ts'
import { requireTakeable, usersOf } from './takeable.ts'
import { requireTestUsers } from './test-users.ts'

/** What the pool holds now, and what it took for it. */
export interface Taken {
  kind: ExportHead['kind']
  state: string
  total_count: number
  counts: Counts
}

interface Receiver {
  pool: string
  /** Whether the sender's key has the scope `admin`. */
  isAdmin: boolean
  reservedDomains: string[]
}

/**
 * Takes an export into a pool, all of it or nothing. The export is staged as it arrives, and the pool is locked only to apply
 * it: a slow client holds no lock. Afterwards the replica holds what the head says, to the byte: the sums are those that the
 * triggers keep, of the rows that are there.
 *
 * Throws what `texts` throws, `export_cut`, `export_malformed`, `export_invalid`, `domain_not_reserved`, `base_mismatch`,
 * `forbidden`, `pool_not_replica`, `pool_in_use`, `state_mismatch`, `pool_not_found`.
 */
export async function takeExport(uploads: Sql, receiver: Receiver, texts: AsyncIterable<string>): Promise<Taken> {
  try {
    const { head, pages } = await readExport(texts)
    return await withSession(uploads, async (session) => {
      await requireTakeable(session, receiver.pool, head, receiver.isAdmin) // a client need not send what will be refused
      await stageExport(session, head, pages)
      const taken = await inTransaction(session, () => apply(session, receiver, head))
      const { added, updated, deleted } = taken.counts
      await refreshStatistics(session, added + updated + deleted)
      return taken
    })
  } catch (error) {
    throw asProblem(error)
  }
}

async function apply(session: ISql, { pool, isAdmin, reservedDomains }: Receiver, head: ExportHead): Promise<Taken> {
  const poolId = await lockPool(session, pool)
  const { mirrors, isReplica } = await requireTakeable(session, pool, head, isAdmin)
  if (mirrors === 'everything') {
    // Lets the trigger that protects users pass: an administrator declared that this pool's users are its source's.
    await session`select set_config('usersync.service', 'off', true)`
  } else {
    await requireTestUsers(session, reservedDomains)
  }
  const counts = await applyStaged(session, poolId, head, mirrors)
  const { state, userCount } = await lookUpScope(session, pool, usersOf(mirrors))
  if (state !== head.state || userCount !== head.total_count) throw stateMismatch()
  if (!isReplica && head.kind !== 'unchanged') await declareReplica(session, poolId, mirrors)
  return { kind: head.kind, state, total_count: userCount, counts }
}

const stateMismatch = () =>
  new Problem(
    'state_mismatch',
    'The users of the export do not add up to its state, or not to its total_count. Nothing was changed; send a full export.',
  )
