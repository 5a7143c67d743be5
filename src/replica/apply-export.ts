import type { ISql, Sql } from 'postgres'
import { refreshStatistics } from '../batches/unfinished.ts'
import { inTransaction, withSession } from '../database/session.ts'
import { Problem } from '../errors.ts'
import { declareReplica, lockPool, readReplica, requireNoUnfinishedBatch } from '../pools/locks.ts'
import type { Replica } from '../pools/pools.ts'
import { type ExportHead, readExport } from '../protocol/read-export.ts'
import { lookUpScope } from '../states/scope-state.ts'
import { EMAIL_FORM, isReserved } from '../users/reserved-domain.ts'
import { applyStaged, type Counts } from './apply-staged.ts'
import { asProblem } from './problems.ts'
import { stageExport } from './stage-export.ts'

export const WHOLE_POOL = { batchId: undefined, testUsersOnly: false, bulkUsersOnly: false }
export const TEST_USERS = { ...WHOLE_POOL, testUsersOnly: true }

export type Mirrors = Exclude<Replica, 'none'>

/** The users of the pool that a replica of this extent holds for its source. Its state is theirs. */
export const usersOf = (mirrors: Mirrors) => (mirrors === 'everything' ? WHOLE_POOL : TEST_USERS)

/**
 * Makes sure that the pool may take an export with this head as it is now. Returns what the pool mirrors, and whether it is a
 * replica already. A delta needs its base. A full export replaces all users, so a pool that holds users must have been declared
 * a replica. An administrator's export into another pool declares it a mirror of everything. Throws `base_mismatch` with the
 * state that is held, `forbidden`, `pool_not_replica`, `pool_in_use`, `pool_not_found`.
 */
export async function requireTakeable(
  sql: ISql,
  pool: string,
  head: ExportHead,
  isAdmin: boolean,
): Promise<{ mirrors: Mirrors; isReplica: boolean }> {
  const replica = await readReplica(sql, pool)
  if (replica === 'everything') requireAdmin(isAdmin)
  const isReplica = replica !== 'none'
  const mirrors = isReplica ? replica : isAdmin ? 'everything' : 'test_users'
  const { poolId, state, userCount } = await lookUpScope(sql, pool, usersOf(mirrors))
  if (head.kind !== 'full' && head.base !== state) {
    throw new Problem('base_mismatch', 'Send the delta from the state that is held, or a full export.', {
      members: { state },
    })
  }
  if (isReplica || head.kind === 'unchanged') return { mirrors, isReplica }
  if (!isAdmin) throw notDeclared()
  if (head.kind === 'full' && userCount > 0) {
    throw new Problem(
      'pool_not_replica',
      'Use an empty pool, or PATCH /v1/pools/{name} {"replica": "test_users"} or "everything", which lets an export replace these users.',
    )
  }
  await requireNoUnfinishedBatch(sql, poolId)
  return { mirrors, isReplica }
}

const notDeclared = () =>
  new Problem(
    'forbidden',
    'The pool is no replica. A key with the scope admin makes it one: PATCH /v1/pools/{name} {"replica": "test_users"}.',
  )

/** Throws `forbidden`: a mirror of everything holds users that are not test users. */
export function requireAdmin(isAdmin: boolean): void {
  if (!isAdmin) throw new Problem('forbidden', 'A replica of everything is read and written with the scope admin.')
}

/** What the pool is a replica of. Throws `pool_not_replica` if it is none: its users are not a source's to read as a whole. */
export async function requireReplica(sql: ISql, pool: string): Promise<Mirrors> {
  const replica = await readReplica(sql, pool)
  if (replica === 'none') throw new Problem('pool_not_replica', 'GET /v1/users/export reads its users.')
  return replica
}

/** Addresses that need no further look. The others are few, and are checked by the one rule for addresses. */
const PLAIN_ADDRESS = "^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)*$"

/**
 * Makes sure that the staged users are test users with addresses of reserved domains, as an import demands. Throws
 * `export_invalid`, `domain_not_reserved`.
 */
export async function requireTestUsers(tx: ISql, reservedDomains: string[]): Promise<void> {
  const [other] = await tx`select from staged_users where not is_test_user limit 1`
  if (other) {
    throw new Problem(
      'export_invalid',
      'The export has users that are not test users, and the pool is a replica of test users. Nothing was changed.',
    )
  }
  for await (const rows of tx<{ email: string }[]>`
    select email from staged_users where email !~ ${PLAIN_ADDRESS}`.cursor(1_000)) {
    if (rows.some(({ email }) => !EMAIL_FORM.test(email))) {
      throw new Problem('export_invalid', 'The export has an email that is not one address. Nothing was changed.')
    }
  }
  const domains = await tx<{ domain: string }[]>`
    select distinct lower(substring(email from '[^@]*$')) as domain from staged_users`
  const refused = domains.find(({ domain }) => !isReserved(domain, reservedDomains))
  if (refused) {
    const reserved = reservedDomains.join(', ')
    throw new Problem(
      'domain_not_reserved',
      `The domain ${refused.domain.slice(0, 253)} could belong to somebody. A replica of test users takes ${reserved}, and domains below them.`,
    )
  }
}

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
