import { availableParallelism, cpus, totalmem } from 'node:os'
import type { Sql } from 'postgres'

/** What the figures depend on. Contains nothing that identifies the machine. */
export interface Machine {
  node: string
  postgresql: string
  platform: string
  processor: string
  cores: number
  memoryMiB: number
}

/** Describes this machine and the database server of `sql`. */
export async function describeMachine(sql: Sql): Promise<Machine> {
  const [row] = await sql<{ version: string }[]>`select current_setting('server_version') as version`
  return {
    node: process.version,
    postgresql: row?.version ?? 'unknown',
    platform: `${process.platform}-${process.arch}`,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryMiB: Math.round(totalmem() / 1_048_576),
  }
}
