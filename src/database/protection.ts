import { randomInt, randomUUID } from 'node:crypto'
import type { Sql, TransactionSql } from 'postgres'
import { isDistributed } from './citus/distributed-form.ts'
import { connect } from './connection.ts'
import { isBlocked, PROTECTED_USER, sqlState } from './sqlstate.ts'

/**
 * How long a start waits for a lock on the whole table, such as that of CREATE INDEX: three times as long as a request does. The
 * operator sees nothing while it waits, and the name of the session that has the lock when it ends.
 */
const LOCK_WAIT_MS = 15_000

/**
 * Checks that the database refuses when this service changes or deletes a user that is not a test user. It tries both, with a user
 * of its own in a transaction that is rolled back: whether the trigger exists, is enabled and sees the setting `usersync.service`
 * counts only together. Throws an Error that says what to do.
 */
export async function requireProtection(url: string, schema: string, lockWaitMs = LOCK_WAIT_MS): Promise<void> {
  const name = 'usersync start'
  const sql = connect({ url, schema, connections: 1, name, isService: true, lockTimeoutMs: lockWaitMs })
  try {
    const missing = await attemptChanges(sql)
    if (missing.length === 0) return
    throw new Error(
      `users that are not test users are not protected: the database does not refuse when this service ${missing.join(' or ')} one. ` +
        ((await isDistributed(sql, schema)) ? await adviceForCitus(sql) : adviceForPostgres(schema)),
    )
  } catch (error) {
    if (!isBlocked(error)) throw error
    const locked = `the table ${schema}.users is locked for longer than ${lockWaitMs / 1000} s${await lockHolders(sql)}`
    throw new Error(`${locked}: start again when the lock is released`, { cause: error })
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** Names the sessions of which the locks do not allow writes, as far as they are still there. */
async function lockHolders(sql: Sql): Promise<string> {
  const [row] = await sql<{ names: string | null }[]>`
    select string_agg(distinct concat_ws(' ', a.application_name, 'with pid', a.pid), ', ') as names
    from pg_locks l join pg_stat_activity a on a.pid = l.pid
    where a.datname = current_database() and l.relation = 'users'::regclass and l.granted
      and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')`
  return row?.names ? ` by ${row.names}` : ''
}

const adviceForPostgres = (schema: string) =>
  `Enable the trigger: alter table ${schema}.users enable always trigger a_protect_users, or restore it from migrations/0003_protect_users.sql`

/** The settings of a connection do not reach the workers of Citus, so the role has them there. */
async function adviceForCitus(sql: Sql): Promise<string> {
  const [row] = await sql<{ command: string }[]>`
    select format('alter role %I in database %I set usersync.service = ''on''', current_user, current_database()) as command`
  return `As a superuser, run ${row?.command}`
}

/** Ends a transaction that only tries something. */
class Undo extends Error {}

/** Returns what the database does not refuse. Leaves nothing behind. The pool is new, so no lock of a row is in the way. */
async function attemptChanges(sql: Sql): Promise<string[]> {
  const missing: string[] = []
  const undone = sql.begin(async (tx) => {
    const [poolId, id] = [-randomInt(1, 2 ** 31), randomUUID()]
    await tx`insert into pools (id, name) values (${poolId}, ${id})`
    await tx`
      insert into users (pool_id, id, username, email, is_test_user) values (${poolId}, ${id}, 'protected', 'protected@example.com', false)`
    if (!(await isRefused(tx, (tx) => tx`update users set role = 'changed' where pool_id = ${poolId} and id = ${id}`)))
      missing.push('changes')
    if (!(await isRefused(tx, (tx) => tx`delete from users where pool_id = ${poolId} and id = ${id}`)))
      missing.push('deletes')
    throw new Undo()
  })
  await undone.catch((error) => {
    if (!(error instanceof Undo)) throw error
  })
  return missing
}

async function isRefused(tx: TransactionSql, attempt: (tx: TransactionSql) => PromiseLike<unknown>): Promise<boolean> {
  try {
    await tx.savepoint(async (savepoint) => {
      await attempt(savepoint)
      throw new Undo()
    })
  } catch (error) {
    if (sqlState(error) === PROTECTED_USER) return true
    if (!(error instanceof Undo)) throw error
  }
  return false
}
