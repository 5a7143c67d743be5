import { execFile } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type Cluster, openCluster, runProgram } from '../../src/database/embedded/embedded-cluster.ts'
import { findPlace } from '../../src/database/embedded/embedded-place.ts'
import { findPostmaster } from '../../src/database/embedded/embedded-postmaster.ts'
import { migrate } from '../../src/database/migrate.ts'
import { makeServerFolder } from '../server-folder.ts'
import { freePort } from './free-port.ts'

interface Test {
  teardown(fn: () => Promise<void>): void
}

/** A PostgreSQL server for one test, which may stop and kill it. The port stays the same. */
export interface OwnPostgres {
  url: string
  cluster: Cluster
  /** Stops it as `pg_ctl restart -m fast` does, and starts it again. */
  restart(): Promise<void>
  stop(): Promise<void>
  /** Sends SIGKILL to the postmaster and all its children. */
  kill(): Promise<void>
  start(): Promise<void>
}

/** Committed data must survive the end of the server, not of the machine, so nothing waits for the disk. */
const SETTINGS = { fsync: 'off', unix_socket_directories: '', listen_addresses: '127.0.0.1', max_wal_size: '1GB' }

/** Starts a server in a new folder with these settings, and migrates it. Both are removed at the end of the test. */
export async function startOwnPostgres(
  t: Test,
  { settings = {}, dataDir }: { settings?: Record<string, string>; dataDir?: string } = {},
): Promise<OwnPostgres> {
  const folder = dataDir ?? (await makeServerFolder('usersync-faults-'))
  const place = await findPlace(folder)
  const remove = async () => {
    await server?.kill()
    for (const path of [dirname(place.directory), folder]) {
      if (path !== dataDir) await rm(path, { recursive: true, force: true })
    }
  }
  let server: OwnPostgres | undefined
  t.teardown(() => remove())
  server = await controlServer(await openCluster(place, { durable: false }), settings)
  await server.start()
  await migrate(server.url, 'usersync')
  return server
}

/** Returns the control of a cluster's server, which is not started yet, on a free port. */
export async function controlServer(cluster: Cluster, settings: Record<string, string>): Promise<OwnPostgres> {
  const { place, data, log, password } = cluster
  const port = await freePort()
  const options = Object.entries({ ...SETTINGS, ...settings, port }).map(([name, value]) => `-c '${name}=${value}'`)
  const control = (command: string) =>
    runProgram(
      place,
      'pg_ctl',
      [command, '-w', '-t', '60', '-s', '-D', data, '-l', log, '-m', 'fast', '-o', options.join(' ')],
      70,
    )

  async function kill(): Promise<void> {
    const server = await findPostmaster({ data })
    if (!server) return
    process.kill(server.pid, 'SIGSTOP') // a child that it forked after the listing could keep the shared memory forever
    const children = await promisify(execFile)('pgrep', ['-P', String(server.pid)]).catch(() => ({ stdout: '' }))
    for (const pid of [String(server.pid), ...children.stdout.trim().split('\n')]) {
      try {
        if (pid) process.kill(Number(pid), 'SIGKILL')
      } catch {
        // it has already exited
      }
    }
  }

  /** Killed processes need a moment to exit, and keep the shared memory until then. */
  async function start(): Promise<void> {
    for (const deadline = Date.now() + 15_000; ; await sleep(200)) {
      try {
        await control('start')
        return
      } catch (error) {
        if (Date.now() > deadline) throw error
      }
    }
  }

  const url = `postgres://usersync:${password}@127.0.0.1:${port}/postgres`
  return { url, cluster, restart: () => control('restart'), stop: () => control('stop'), kill, start }
}
