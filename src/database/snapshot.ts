import type { ReservedSql, Sql } from 'postgres'
import { forceIndexScans } from './index-order.ts'

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
