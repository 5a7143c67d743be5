import { readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Service } from '../http/service.ts'

/** What a process holds. */
export interface Held {
  /** Sockets that are no connection to the database: of clients, and what listens. */
  sockets: number
  /** Open files below DATA_DIR, and exports in it that are half written. */
  files: string[]
  openTransactions: number
  unfinishedBatches: number
  heapMb: number
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

export async function held({ sql, dataDir }: Service): Promise<Held> {
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

/** What is held once nothing is in work, and connections that were left have closed; after 20 s what is held then. */
export async function heldAtRest(service: Service, isAtRest: (held: Held) => boolean): Promise<Held> {
  for (let i = 0; ; i++) {
    const present = await held(service)
    if (isAtRest(present) || i === 100) return present
    await sleep(200)
  }
}
