import type { Sql } from 'postgres'
import { connect } from '../database/connection.ts'

/** Statements of leases at once. Most of them take milliseconds; a search for a rare attribute may take seconds. */
export const LEASE_CONNECTIONS = 6

/** The longest search. It ends a search for users that hardly any pool has, in a pool of several million users. */
const STATEMENT_TIMEOUT_MS = 10_000

/**
 * Every statement of a lease walks an index in its order and then looks up single rows. Statistics cannot lead it astray: a sort or a
 * hash join would read the whole pool before the first user is found.
 */
const PLANNING = {
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  enable_sort: 'off',
  jit: 'off',
  max_parallel_workers_per_gather: '0',
}

/** Opens the connections for leases. They are separate, so that leases and other requests do not wait for each other. */
export const connectForLeases = (options: { url: string; schema: string; waitMs: number }): Sql =>
  connect({
    ...options,
    isService: true,
    connections: LEASE_CONNECTIONS,
    name: 'usersync leases',
    settings: { ...PLANNING, statement_timeout: String(STATEMENT_TIMEOUT_MS) },
  })
