import type { ReservedSql, Sql } from 'postgres'

interface Test {
  teardown(fn: () => Promise<void>): void
}

/** A transaction on a connection of its own. */
export interface OpenTransaction extends ReservedSql {
  commit(): Promise<void>
  rollback(): Promise<void>
}

/**
 * Begins a transaction for a test in which others meet its locks. If the test fails before it ends the transaction, the
 * teardown of `t` does. A lock that stays would make all later tests of the service wait.
 */
export async function openTransaction(t: Test, sql: Sql): Promise<OpenTransaction> {
  const connection = await sql.reserve()
  let isOpen = true
  const end = (statement: 'commit' | 'rollback') => async () => {
    if (!isOpen) return
    isOpen = false
    try {
      await connection.unsafe(statement)
    } finally {
      connection.release()
    }
  }
  t.teardown(end('rollback'))
  await connection`begin`
  return Object.assign(connection, { commit: end('commit'), rollback: end('rollback') })
}
