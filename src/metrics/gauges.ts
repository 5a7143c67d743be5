import { statfs } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import type { Sql } from 'postgres'
import { Gauge, type Registry } from 'prom-client'
import type { Exports } from '../export/exports.ts'
import type { MemoryGuard } from '../memory-guard.ts'
import type { WorkerPool } from '../worker-pool/worker-pool.ts'
import { createDatabaseLook } from './database-look.ts'

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
