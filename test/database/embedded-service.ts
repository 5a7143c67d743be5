import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { connect } from '../../src/database/connection.ts'
import type { EmbeddedDatabase } from '../../src/database/embedded/embedded.ts'
import { findPostmaster } from '../../src/database/embedded/embedded-postmaster.ts'
import { CHILD_ENV } from '../child-env.ts'
import { makeServerFolder } from '../server-folder.ts'

/** Settings for a server whose data need not survive. */
export const FAST = { fsync: 'off', shared_buffers: '16MB' }
const EMBEDDED = new URL('../../src/database/embedded/embedded.ts', import.meta.url).href

/** A service in its own process. It prints the database it started, and stops it on SIGTERM. */
const SERVICE = `
  const { startEmbeddedDatabase } = await import('${EMBEDDED}')
  const database = await startEmbeddedDatabase({ dataDir: process.argv[1], settings: ${JSON.stringify(FAST)} })
  process.once('SIGTERM', () => database.stop().then(() => process.exit())) // before the line: the test may send it at once
  console.log(JSON.stringify(database))
  setInterval(() => {}, 1000)`

/**
 * A folder that every user can enter. At the end of `t`, a server with its data there is stopped, and everything is
 * removed.
 */
export async function temporaryFolder(t: Test): Promise<string> {
  const folder = await makeServerFolder('usersync-embedded-')
  t.teardown(() => removeServer(join(folder, 'postgresql')))
  return folder
}

/** Stops the server in a folder, and removes its data. */
export async function removeServer(directory: string): Promise<void> {
  const find = () => findPostmaster({ data: join(directory, 'cluster/data') })
  const server = await find()
  if (server) process.kill(server.pid, 'SIGQUIT')
  await until(async () => !(await find()))
  await rm(dirname(directory), { recursive: true, force: true })
}

/** Starts a service and waits until its database is ready. */
export async function startService(
  t: Test,
  dataDir: string,
): Promise<{ process: ChildProcess; database: EmbeddedDatabase }> {
  const service = spawnService(t, dataDir)
  const [line] = await once(createInterface(service.stdout as Readable), 'line', {
    signal: AbortSignal.timeout(40_000),
  })
  return { process: service, database: JSON.parse(line) as EmbeddedDatabase }
}

/** Starts a service without waiting for its database. */
export function spawnService(t: Test, dataDir: string): ChildProcess {
  const args = ['--input-type=module', '-e', SERVICE, dataDir]
  const service = spawn(process.execPath, args, { env: CHILD_ENV, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => kill(service))
  return service
}

/** Kills a process, unless it has exited. */
export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

/** The server of a database, if it is running. */
export const serverOf = ({ directory }: EmbeddedDatabase) => findPostmaster({ data: join(directory, 'cluster/data') })

/** Runs a statement on a new connection. */
export async function query(url: string, statement: string): Promise<unknown[]> {
  const sql = connect({ url, schema: 'public', connections: 1, name: 'test' })
  try {
    return [...(await sql.unsafe(statement))]
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** The names in a folder; none if it does not exist. */
export const entries = (folder: string) => readdir(folder).catch(() => [] as string[])

/** Waits, at most 40 s, until the condition is true. */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 40_000
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('condition not met within 40 s')
    await sleep(5)
  }
}
