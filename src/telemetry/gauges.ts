import { statfs } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import type { Sql } from 'postgres'
import { Gauge, type Registry } from 'prom-client'
import type { WorkerPool } from '../batches/worker-pool.ts'
import type { Exports } from '../export/exports.ts'
import { countAllUsers } from '../leases/counts.ts'
import type { Leasing } from '../leases/request-lease.ts'
import type { MemoryGuard } from '../process/memory-guard.ts'

/** What a scrape reads from the database. */
export interface DatabaseCounts {
  /** Unfinished batches of all replicas, by status. */
  batches: Record<string, number>
  /** Connections of all replicas to this database, by activity. */
  connections: Record<string, number>
}

/** How long a scrape waits for the database. */
const DEADLINE_MS = 500

/** Maximum age of a cached result. */
const FRESH_MS = 1_000

/** Statuses are counted up to this many batches. For a longer queue, the exact number does not matter. */
const MAX_BATCHES = 10_000

/**
 * Reads the counts at most once a second and never concurrently, however often it is called. Undefined if the database does not
 * answer in time.
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

/** What the names of a replica's connections end in: those of requests and LISTEN, and those for one purpose. */
const CONNECTION_KINDS = ['', ' worker', ' health', ' uploads', ' leases']

/** Both sources are small: the index of unfinished batches, and the server's own view of connections. */
async function readCounts(sql: Sql): Promise<DatabaseCounts> {
  const [batches, connections] = await Promise.all([
    sql<{ label: string; count: number }[]>`
      select status as label, count(*)::int as count
      from (select status from batches where status in ('queued', 'running') limit ${MAX_BATCHES}) b
      group by status`,
    sql<{ label: string; count: number }[]>`
      select case when pid = pg_backend_pid() then 'idle' else coalesce(state, 'unknown') end as label, count(*)::int as count
      from pg_stat_activity
      where datname = current_database() and usename = current_user
        and application_name in (select current_setting('application_name') || kind from unnest(${CONNECTION_KINDS}::text[]) kind)
      group by label`,
  ])
  const byLabel = (rows: { label: string; count: number }[]) =>
    Object.fromEntries(rows.map(({ label, count }) => [label, count]))
  return {
    batches: { queued: 0, running: 0, ...byLabel(batches) },
    connections: { active: 0, idle: 0, 'idle in transaction': 0, ...byLabel(connections) },
  }
}

/** The parts of the service that the gauges read. */
interface Observed {
  sql: Sql
  workers: WorkerPool
  memory: MemoryGuard
  exports: Exports
  leasing: Leasing
  dataDir: string
  memoryLimitBytes: number
}

/** Adds gauges that read the current values at each scrape. A value that cannot be read is left out, without an error. */
export function addGauges(registry: Registry, observed: Observed): void {
  const { sql, workers, memory, exports, leasing, dataDir, memoryLimitBytes } = observed
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
  /** Like `gauge`, with one value per label value. */
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
  gauge('usersync_lease_requests_waiting', 'Requests of this process that wait for users to lease.', () =>
    leasing.lines.waiting(),
  )
  gauges('usersync_lease_users', 'Users of the pools that lease some, by status, of all replicas.', 'status', () =>
    inTime(countAllUsers(leasing.sql, leasing.counts)).catch(() => undefined),
  )
  gauge('usersync_memory_over_limit', '1 while new work is rejected because memory is above its limit.', () =>
    Number(memory.isOver()),
  )
  gauge(
    'usersync_memory_limit_bytes',
    'MEMORY_LIMIT_MB: resident memory above which new work is rejected.',
    () => memoryLimitBytes,
  )
  gauge('usersync_cpu_cores', 'Cores that this process may use.', availableParallelism)
  gauges('usersync_data_disk_bytes', 'The file system of DATA_DIR.', 'space', () => readDisk(dataDir))
  gauge('usersync_database_up', '1 if the database answered this scrape in time (0.5 s).', async () =>
    Number((await look()) !== undefined),
  )
  gauges('usersync_batches', 'Unfinished batches, of all replicas.', 'status', async () => (await look())?.batches)
  gauges(
    'usersync_database_connections',
    'Connections to the database, of all replicas, by state in pg_stat_activity.',
    'state',
    async () => (await look())?.connections,
  )
}

async function readDisk(folder: string): Promise<Record<string, number> | undefined> {
  const disk = await statfs(folder).catch(() => undefined)
  return disk && { size: disk.blocks * disk.bsize, available: disk.bavail * disk.bsize }
}
