import type { Sql } from 'postgres'

/** What the database tells for a scrape. */
export interface DatabaseCounts {
  /** Unfinished batches of all replicas, by status. */
  batches: Record<string, number>
  /** Connections of all replicas to this database, by what they do. */
  connections: Record<string, number>
}

/** How long a scrape waits for the database. */
const DEADLINE_MS = 500

/** How old an answer may be. */
const FRESH_MS = 1_000

/** Statuses are counted up to so many batches: more is a queue that nobody has to know to the last one. */
const MOST_BATCHES = 10_000

/**
 * Asks the database at most once a second, and never twice at a time, however often it is called. Undefined where there is
 * no answer in time.
 */
export function createDatabaseLook(sql: Sql): () => Promise<DatabaseCounts | undefined> {
  let answer: Promise<DatabaseCounts | undefined> = Promise.resolve(undefined)
  let underWay = false
  let begunAt = Number.NEGATIVE_INFINITY

  const begin = () => {
    underWay = true
    begunAt = performance.now()
    answer = readCounts(sql)
      .catch(() => undefined)
      .finally(() => {
        underWay = false
      })
  }
  return () => {
    if (!underWay && performance.now() - begunAt >= FRESH_MS) begin()
    return inTime(answer)
  }
}

function inTime<Value>(answer: Promise<Value>): Promise<Value | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(resolve, DEADLINE_MS, undefined)
  return Promise.race([answer, late]).finally(() => clearTimeout(timer))
}

/** Both come from what is small: the index of unfinished batches, and the server's own table of connections. */
async function readCounts(sql: Sql): Promise<DatabaseCounts> {
  const [batches, connections] = await Promise.all([
    sql<{ label: string; count: number }[]>`
      select status as label, count(*)::int as count
      from (select status from batches where status in ('queued', 'running') limit ${MOST_BATCHES}) b
      group by status`,
    sql<{ label: string; count: number }[]>`
      select coalesce(state, 'unknown') as label, count(*)::int as count from pg_stat_activity
      where datname = current_database() and usename = current_user
        and application_name in (current_setting('application_name'), current_setting('application_name') || ' worker') and pid <> pg_backend_pid()
      group by state`,
  ])
  const byLabel = (rows: { label: string; count: number }[]) =>
    Object.fromEntries(rows.map(({ label, count }) => [label, count]))
  return {
    batches: { queued: 0, running: 0, ...byLabel(batches) },
    connections: { active: 0, idle: 0, 'idle in transaction': 0, ...byLabel(connections) },
  }
}
