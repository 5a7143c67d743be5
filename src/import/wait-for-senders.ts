import type { TransactionSql } from 'postgres'

/**
 * The body's own deadlines (15 minutes as a whole) say how long a sender may take; a page of a slow one may be on its way for
 * minutes. A process that is stopped looks at no deadline: then PostgreSQL has the last word, or its locks would stay for ever.
 */
export async function waitForSenders(tx: TransactionSql): Promise<void> {
  await tx`set local idle_in_transaction_session_timeout = '16min'`
}
