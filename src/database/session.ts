import type { ISql, ReservedSql, Sql } from 'postgres'

/**
 * Runs `work` on one connection, outside of a transaction. What an upload stages there in temporary tables holds no lock and
 * no snapshot while its client sends, and PostgreSQL drops it with the session, whatever ends this process.
 */
export async function withSession<T>(sql: Sql, work: (session: ReservedSql) => Promise<T>): Promise<T> {
  const session = await sql.reserve()
  try {
    await session`discard temp` // of a session that could not be cleared
    return await work(session)
  } finally {
    await session`discard temp`.catch(() => {})
    session.release()
  }
}

/** Runs `work` in one transaction of the session: committed where it resolves, rolled back where it throws. */
export async function inTransaction<T>(session: ISql, work: () => Promise<T>): Promise<T> {
  await session`begin`
  try {
    const result = await work()
    await session`commit`
    return result
  } catch (error) {
    await session`rollback`.catch(() => {}) // fails where the connection is lost, and the transaction with it
    throw error
  }
}
