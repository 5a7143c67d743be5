import type { ISql, ReservedSql, Sql } from 'postgres'
import { forceIndexScans } from './index-order.ts'

/**
 * Runs `work` on one connection, outside a transaction. An upload stages its data there in temporary tables: it holds
 * no lock and no snapshot while its client sends, and PostgreSQL drops the tables with the session, however this
 * process ends.
 */
export async function withSession<T>(sql: Sql, work: (session: ReservedSql) => Promise<T>): Promise<T> {
  const session = await sql.reserve()
  try {
    await session`discard temp` // clears what an earlier session left
    return await work(session)
  } finally {
    await session`discard temp`.catch(() => {})
    session.release()
  }
}

/** Runs `work` in one transaction of the session. Commits if it resolves, and rolls back if it throws. */
export async function inTransaction<T>(session: ISql, work: () => Promise<T>): Promise<T> {
  await session`begin`
  try {
    const result = await work()
    await session`commit`
    return result
  } catch (error) {
    await session`rollback`.catch(() => {}) // fails if the connection is lost; then PostgreSQL rolls back
    throw error
  }
}

/** A consistent view of the database on a separate connection. The caller must call `close`, and may call it twice. */
export interface Snapshot {
  sql: ReservedSql
  close(): Promise<void>
}

/** Opens a REPEATABLE READ READ ONLY transaction: all reads see the same moment, and follow index order. */
export async function openSnapshot(sql: Sql): Promise<Snapshot> {
  const connection = await sql.reserve()
  let open = true
  const close = async () => {
    if (!open) return
    open = false
    try {
      await connection`rollback`
    } catch {
      // The connection is lost, and the transaction with it. The driver opens another connection when it needs one.
    } finally {
      connection.release()
    }
  }
  try {
    await connection`begin isolation level repeatable read read only`
    await forceIndexScans(connection)
    return { sql: connection, close }
  } catch (error) {
    await close()
    throw error
  }
}
