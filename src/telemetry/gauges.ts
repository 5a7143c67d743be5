import { statfs } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import type { Sql } from 'postgres'
import { Gauge, type Registry } from 'prom-client'
import type { WorkerPool } from '../batches/worker-pool.ts'
import type { Exports } from '../export/exports.ts'
import type { MemoryGuard } from '../process/memory-guard.ts'

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

/** The parts of the service that are looked at. */
interface Observed {
  sql: Sql
  workers: WorkerPool
  memory: MemoryGuard
  exports: Exports
  dataDir: string
  memoryLimitBytes: number
}

/** Adds what is read at each scrape: how things stand at that moment. What cannot be read is left out, and fails nothing. */
export function addGauges(registry: Registry, observed: Observed): void {
  const { sql, workers, memory, exports, dataDir, memoryLimitBytes } = observed
  const look = createDatabaseLook(sql)

  const gauge = (name: string, help: string, read: () => number | Promise<number | undefined>) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      async collect() {
        this.remove()
        const value = await read()
        if (value !== undefined) this.set(value)
      },
    })
  /** The same with a value for each value of the label. */
  const gauges = (
    name: string,
    help: string,
    label: string,
    read: () => Promise<Record<string, number> | undefined> | Record<string, number>,
  ) =>
    new Gauge({
      name,
      help,
      labelNames: [label],
      registers: [registry],
      async collect() {
        const values = (await read()) ?? {}
        this.reset()
        for (const [value, count] of Object.entries(values)) this.set({ [label]: value }, count)
      },
    })

  gauges('usersync_worker_threads', 'Worker threads of this process.', 'state', () => ({
    busy: workers.inWork(),
    idle: workers.threads - workers.inWork(),
  }))
  gauge('usersync_exports_in_progress', 'Exports of this process that read the database.', () => exports.reading())
  gauge('usersync_memory_over_limit', '1 while new work is refused for want of memory.', () => Number(memory.isOver()))
  gauge(
    'usersync_memory_limit_bytes',
    'MEMORY_LIMIT_MB: resident memory above which new work is refused.',
    () => memoryLimitBytes,
  )
  gauge('usersync_cpu_cores', 'Cores that this process may use.', availableParallelism)
  gauges('usersync_data_disk_bytes', 'The file system of DATA_DIR.', 'space', () => readDisk(dataDir))
  gauge('usersync_database_up', '1 where the database has answered this scrape in time (0.5 s).', async () =>
    Number((await look()) !== undefined),
  )
  gauges('usersync_batches', 'Unfinished batches, of all replicas.', 'status', async () => (await look())?.batches)
  gauges(
    'usersync_database_connections',
    'Connections to the database, of all replicas, by what PostgreSQL says they do.',
    'state',
    async () => (await look())?.connections,
  )
}

async function readDisk(folder: string): Promise<Record<string, number> | undefined> {
  const disk = await statfs(folder).catch(() => undefined)
  return disk && { size: disk.blocks * disk.bsize, available: disk.bavail * disk.bsize }
}
