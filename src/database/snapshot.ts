import type { ReservedSql, Sql } from 'postgres'
import { keepIndexOrder } from './index-order.ts'

/** One unchanging view of the database, on a connection of its own. `close` must be called, and may be called twice. */
export interface Snapshot {
  sql: ReservedSql
  close(): Promise<void>
}

/** Opens a REPEATABLE READ READ ONLY transaction: all that is read through it is of one moment, and in index order. */
export async function openSnapshot(sql: Sql): Promise<Snapshot> {
  const connection = await sql.reserve()
  let open = true
  const close = async () => {
    if (!open) return
    open = false
    try {
      await connection`rollback`
    } catch {
      // The connection is gone, and the transaction with it; the driver opens another when one is wanted.
    } finally {
      connection.release()
    }
  }
  try {
    await connection`begin isolation level repeatable read read only`
    await keepIndexOrder(connection)
    return { sql: connection, close }
  } catch (error) {
    await close()
    throw error
  }
}
