import type { TransactionSql } from 'postgres'

/** The body's own deadlines say how long a sender may take; a page of a slow one may be on its way for minutes. */
export async function waitForSenders(tx: TransactionSql): Promise<void> {
  await tx`set local idle_in_transaction_session_timeout = 0`
}
