import type { ISql, Sql } from 'postgres'
import { refreshStatistics } from '../batches/unfinished.ts'
import { EMAIL_FORM, isReserved } from '../config/reserved-domain.ts'
import { inTransaction, withSession } from '../database/session.ts'
import { setLocal } from '../database/set-local.ts'
import { Problem } from '../errors.ts'
import { lockPool, requireNoUnfinishedBatch } from '../pools/locks.ts'
import type { Mirrors } from '../pools/pools.ts'
import { declareReplica, readReplica } from '../pools/replica.ts'
import { type ExportHead, readExport } from '../protocol/read-export.ts'
import { lookUpPending, lookUpScope } from '../states/scope-state.ts'
import { applyStaged, asProblem, type Counts, stageExport } from './staged-export.ts'

export const WHOLE_POOL = { batchId: undefined, testUsersOnly: false, bulkUsersOnly: false }
const TEST_USERS = { ...WHOLE_POOL, testUsersOnly: true }

/** The filter of the users that a replica of this extent mirrors. The replica's state is theirs. */
export const usersOf = (mirrors: Mirrors) => (mirrors === 'everything' ? WHOLE_POOL : TEST_USERS)

/** What the pool contains now, and what the export changed. */
export interface Taken {
  kind: ExportHead['kind']
  state: string
  total_count: number
  counts: Counts
}

interface Receiver {
  pool: string
  /** Whether the client's key has the scope `admin`. */
  isAdmin: boolean
  reservedDomains: string[]
}

/**
 * Applies an export to a pool in one transaction. Stages the export as it arrives, and locks the pool only to apply it, so a slow
 * client holds no lock. If the resulting state is not the one in the head, everything rolls back. The state comes from the sums
 * that the triggers keep of the actual rows.
 *
 * Throws what `texts` throws, `export_cut`, `export_malformed`, `export_invalid`, `domain_not_reserved`, `base_mismatch`,
 * `forbidden`, `pool_not_replica`, `pool_in_use`, `state_mismatch`, `pool_not_found`.
 */
export async function takeExport(uploads: Sql, receiver: Receiver, texts: AsyncIterable<string>): Promise<Taken> {
  try {
    const { head, pages } = await readExport(texts)
    return await withSession(uploads, async (session) => {
      await assertAcceptsExport(session, receiver.pool, head, receiver.isAdmin) // reject early, before the client sends the rest
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
  const { mirrors, isReplica } = await assertAcceptsExport(session, pool, head, isAdmin)
  if (mirrors === 'everything') {
    // Disables the trigger that protects users: an administrator declared that the source owns this pool's users.
    await setLocal(session, { 'usersync.service': 'off' })
  } else {
    await requireTestUsers(session, reservedDomains)
  }
  const counts = await applyStaged(session, poolId, head, mirrors)
  const { state, userCount } = await lookUpPending(session, { poolId, ...usersOf(mirrors) })
  if (state !== head.state || userCount !== head.total_count) throw stateMismatch()
  if (!isReplica && head.kind !== 'unchanged') await declareReplica(session, poolId, mirrors)
  return { kind: head.kind, state, total_count: userCount, counts }
}

const stateMismatch = () =>
  new Problem(
    'state_mismatch',
    'The users of the export do not match its state or its total_count. Nothing was changed; send a full export.',
  )

/**
 * Checks that the pool may take an export with this head now. Returns what the pool mirrors, and whether it is a replica already.
 * A delta needs its base. A full export replaces all users, so a pool with users must have been declared a replica. An
 * administrator's export into another pool declares it a mirror of everything. Throws `base_mismatch` with the current state,
 * `forbidden`, `pool_not_replica`, `pool_in_use`, `pool_not_found`.
 */
async function assertAcceptsExport(
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
    const becomesReplica = !isReplica && isAdmin && userCount === 0 && { becomes_replica: mirrors }
    throw new Problem('base_mismatch', 'Send the delta from the state of the pool, or a full export.', {
      members: { state, ...becomesReplica },
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
    'The pool is not a replica. A key with the scope admin makes it one: PATCH /v1/pools/{name} {"replica": "test_users"}.',
  )

/** Throws `forbidden` without `admin`: a mirror of everything has users that are not test users. */
export function requireAdmin(isAdmin: boolean): void {
  if (!isAdmin) throw new Problem('forbidden', 'A replica of everything needs the scope admin to read and write.')
}

/** Returns what the pool mirrors. Throws `pool_not_replica` if it is not a replica: only the users of replicas may be read in full. */
export async function requireReplica(sql: ISql, pool: string): Promise<Mirrors> {
  const replica = await readReplica(sql, pool)
  if (replica === 'none') throw new Problem('pool_not_replica', 'GET /v1/users/export reads its users.')
  return replica
}

/** Addresses that are certainly valid. The few others are checked by the one rule for addresses. */
const PLAIN_ADDRESS = "^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)*$"

/**
 * Checks that the staged users are test users with addresses in reserved domains, as for an import. Throws `export_invalid`,
 * `domain_not_reserved`.
 */
async function requireTestUsers(tx: ISql, reservedDomains: string[]): Promise<void> {
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
      throw new Problem('export_invalid', 'The export has an email that is not a single address. Nothing was changed.')
    }
  }
  const domains = await tx<{ domain: string }[]>`
    select distinct lower(substring(email from '[^@]*$')) as domain from staged_users`
  const refused = domains.find(({ domain }) => !isReserved(domain, reservedDomains))
  if (refused) {
    const reserved = reservedDomains.join(', ')
    throw new Problem(
      'domain_not_reserved',
      `The domain ${refused.domain.slice(0, 253)} could be a real domain. A replica of test users accepts ${reserved}, and domains below them.`,
    )
  }
}
