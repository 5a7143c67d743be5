import { readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Service } from '../http/service.ts'

/** The resources that a process has open. */
export interface OpenResources {
  /** Sockets other than database connections: of clients, and listening ones. */
  sockets: number
  /** Open files in DATA_DIR, and partial exports in it. */
  files: string[]
  openTransactions: number
  unfinishedBatches: number
  heapMb: number
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

export async function openResources({ sql, dataDir }: Service): Promise<OpenResources> {
  const [row] = await sql<{ connections: number; open: number; unfinished: number }[]>`
    select count(*)::int as connections, count(*) filter (where state like 'idle in transaction%')::int as open,
      (select count(*)::int from batches where status in ('queued', 'running')) as unfinished
    from pg_stat_activity where datname = current_database()`
  const { connections = 0, open = 0, unfinished = 0 } = row ?? {}
  const handles = await readdir('/proc/self/fd')
  const links = await Promise.all(handles.map((handle) => readlink(`/proc/self/fd/${handle}`).catch(() => '')))
  const exports = await readdir(join(dataDir, 'exports')).catch((): string[] => [])
  collectGarbage()
  return {
    sockets: links.filter((link) => link.startsWith('socket:')).length - connections,
    files: [
      ...links.filter((link) => link.startsWith(dataDir)),
      ...exports.filter((name) => name.endsWith('.partial')),
    ],
    openTransactions: open,
    unfinishedBatches: unfinished,
    heapMb: process.memoryUsage().heapUsed / 1_048_576,
  }
}

/** The open resources once `isAtRest` is true, so that idle connections have closed; after 20 s those at that time. */
export async function resourcesAtRest(
  service: Service,
  isAtRest: (resources: OpenResources) => boolean,
): Promise<OpenResources> {
  for (let i = 0; ; i++) {
    const present = await openResources(service)
    if (isAtRest(present) || i === 100) return present
    await sleep(200)
  }
}
