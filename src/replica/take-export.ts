import type { Sql } from 'postgres'
import { refreshStatistics } from '../batches/refresh-statistics.ts'
import { Problem } from '../errors.ts'
import { lookUpScope } from '../export/scope-state.ts'
import { waitForSenders } from '../import/wait-for-senders.ts'
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
 * Takes an export into a pool, all of it or nothing. It is staged as it arrives, and the pool is locked only then: a slow
 * sender holds up nobody. What the replica holds afterwards is what the head says, to the byte: the sums are those that the
 * triggers keep, of the rows that are there.
 *
 * Throws what `texts` throws, `export_cut`, `export_malformed`, `export_invalid`, `domain_not_reserved`, `base_mismatch`,
 * `forbidden`, `pool_not_replica`, `pool_in_use`, `state_mismatch`, `pool_not_found`, and `overloaded` where another writer is in
 * the way for too long.
 */
export async function takeExport(
  sql: Sql,
  { pool, isAdmin, reservedDomains }: Receiver,
  texts: AsyncIterable<string>,
): Promise<Taken> {
  try {
    const { head, pages } = await readExport(texts)
    await requireTakeable(sql, pool, head, isAdmin) // who sends the wrong one need not send it to its end
    const taken = await sql.begin(async (tx): Promise<Taken> => {
      await waitForSenders(tx)
      await stageExport(tx, head, pages)
      const poolId = await lockPool(tx, pool)
      const { mirrors, isReplica } = await requireTakeable(tx, pool, head, isAdmin)
      if (mirrors === 'everything') {
        // Lets the trigger that protects users pass: an administrator declared that this pool's users are its source's.
        await tx`select set_config('usersync.service', 'off', true)`
      } else {
        await requireTestUsers(tx, reservedDomains)
      }
      const counts = await applyStaged(tx, poolId, head, mirrors)
      const { state, userCount } = await lookUpScope(tx, pool, usersOf(mirrors))
      if (state !== head.state || userCount !== head.total_count) throw stateMismatch()
      if (!isReplica && head.kind !== 'unchanged') await declareReplica(tx, poolId, mirrors)
      return { kind: head.kind, state, total_count: userCount, counts }
    })
    const { added, updated, deleted } = taken.counts
    await refreshStatistics(sql, added + updated + deleted)
    return taken
  } catch (error) {
    throw asProblem(error)
  }
}

const stateMismatch = () =>
  new Problem(
    'state_mismatch',
    'The users of the export do not add up to its state, or not to its total_count. Nothing was changed; send a full export.',
  )
