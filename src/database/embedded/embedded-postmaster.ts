import { execFile } from 'node:child_process'
import { readFile, rename, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type Cluster, reason, runProgram } from './embedded-cluster.ts'
import { EmbeddedDatabaseError } from './embedded-place.ts'

/** The server process of a cluster. */
export interface Postmaster {
  pid: number
  /** On 127.0.0.1. */
  port: number
  /** False while it starts, stops, or recovers from a crash. */
  ready: boolean
}

/**
 * Returns the running postmaster of `cluster`, as its lock file names it. Ignores another process with the same pid,
 * because pids are reused after a restart of the machine or the container.
 */
export async function findPostmaster({ data }: Pick<Cluster, 'data'>): Promise<Postmaster | undefined> {
  const [pid, , , port, , , , status] = (await readLockFile(data))?.split('\n') ?? []
  if (!pid || !(await commandLine(pid)).includes(`/postgres -D ${data} `)) return undefined
  return { pid: Number(pid), port: Number(port), ready: status?.trim() === 'ready' }
}

/**
 * Starts the server of `cluster` with `settings` on a free port of 127.0.0.1, and waits until it accepts connections or
 * `deadline` passes. A server that is recovering then continues. pg_ctl starts it in a separate session, so that Ctrl-C
 * in our terminal does not reach it. Throws EmbeddedDatabaseError with the end of the log if it does not start. The
 * caller holds the lock.
 */
export async function startPostmaster(
  cluster: Cluster,
  settings: Record<string, string>,
  deadline: number,
): Promise<void> {
  const { place, data, log } = cluster
  await removeForeignLockFile(cluster)
  await rename(log, `${log}.1`).catch(ignoreMissing)
  for (;;) {
    const all = { ...settings, listen_addresses: '127.0.0.1', unix_socket_directories: '', port: await freePort() }
    const options = Object.entries(all).map(([name, value]) => `-c ${quote(`${name}=${value}`)}`)
    const seconds = Math.ceil(Math.max(1, (deadline - Date.now()) / 1000))
    const start = ['start', '-w', '-t', String(seconds), '-s', '-D', data, '-l', log, '-o', options.join(' ')]
    try {
      return await runProgram(place, 'pg_ctl', start, seconds + 5)
    } catch (cause) {
      if (await findPostmaster(cluster)) return
      const lines = (await readFile(log, 'utf8').catch(ignoreMissing)) ?? ''
      if (!RETRYABLE.test(lines) || Date.now() > deadline) {
        const end = lines.trim().split('\n').slice(-10).join('\n')
        throw new EmbeddedDatabaseError(`PostgreSQL does not start: ${reason(cause)}\nThe end of ${log}:\n${end}`, {
          cause,
        })
      }
    }
    await rm(log, { force: true })
    await sleep(200)
  }
}

/** Temporary failures: another process took the port meanwhile, or processes of a killed server have not all ended yet. */
const RETRYABLE =
  /Address already in use|shared memory block .* is still in use|lock file "postmaster.pid" already exists/

/**
 * Stops the server of `cluster` if it runs. It disconnects its clients and has 30 s to write everything to disk. Then
 * it is stopped immediately, and recovers at its next start without data loss. Throws EmbeddedDatabaseError if it still
 * runs.
 */
export async function stopPostmaster(cluster: Cluster): Promise<void> {
  let cause: unknown
  for (const [mode, timeout] of [['fast', 30] as const, ['immediate', 10] as const]) {
    if (!(await findPostmaster(cluster))) return
    const stop = ['stop', '-w', '-t', String(timeout), '-s', '-D', cluster.data, '-m', mode]
    cause = await runProgram(cluster.place, 'pg_ctl', stop, timeout + 5).catch((error) => error)
  }
  if (await findPostmaster(cluster)) {
    throw new EmbeddedDatabaseError(`PostgreSQL in ${cluster.data} does not stop: ${reason(cause)}`, { cause })
  }
}

/**
 * PostgreSQL replaces the lock file of a dead postmaster, but not if another process of the same user now has its pid,
 * and not if the file is empty or damaged after a power cut. This function deletes those files. If a server is running
 * nevertheless, its shared memory, keyed by the inode of the data, prevents a second one from starting.
 */
async function removeForeignLockFile(cluster: Cluster): Promise<void> {
  const text = await readLockFile(cluster.data)
  if (text === undefined) return
  const pid = Number.parseInt(text, 10)
  if (pid < 0 || (pid > 0 && !isAlive(pid))) return // negative: PostgreSQL in single-user mode
  if (!pid) await sleep(1000) // a postmaster may have created the file and not written it yet
  if (!(await findPostmaster(cluster))) await rm(join(cluster.data, 'postmaster.pid'), { force: true })
}

/** Its lines: https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/utils/pidfile.h */
async function readLockFile(data: string): Promise<string | undefined> {
  return await readFile(join(data, 'postmaster.pid'), 'utf8').catch(ignoreMissing)
}

/** Also true for a zombie process. PostgreSQL also considers it alive. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Returns the program and arguments of a process, each followed by a space. Empty if there is no such process. */
async function commandLine(pid: string): Promise<string> {
  try {
    if (process.platform === 'linux') return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ')
    return `${(await promisify(execFile)('ps', ['-ww', '-o', 'command=', '-p', pid])).stdout.trim()} `
  } catch {
    return ''
  }
}

function freePort(): Promise<string> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(String(port)))
    })
  })
}

/** Quotes for the shell through which pg_ctl starts the server. */
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
