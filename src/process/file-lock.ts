import { spawnSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDiskFull } from './disk-full.ts'

const SQLITE_BUSY = 5
const SQLITE_CANTOPEN = 14

/** Thrown if a lock cannot be acquired. */
export class FileLockError extends Error {}

/** Thrown if neither Node nor the machine can lock files. The message says what to install. */
export class LocksMissing extends FileLockError {}

/** Undefined before Node 22.13. `usersync pull` runs on Node 20. */
const sqlite: typeof import('node:sqlite') | undefined = process.getBuiltinModule('node:sqlite')

/**
 * Locks `file` (created if missing, always empty) against other processes on this machine, without waiting. Returns undefined if
 * another process has the lock. Disposing of the lock releases it, and so does the end of the process: it is a kernel lock. So a
 * kill -9 or a power cut leaves no stale lock, unlike a pid file, whose pid may be reused. Node has no API for such locks, but its
 * bundled SQLite has (https://sqlite.org/lockingv3.html). Older Nodes have none and use flock(1), whose locks do not exclude those of
 * SQLite. Throws FileLockError if the file cannot be opened, and LocksMissing.
 */
export function tryLock(file: string, mode: 'shared' | 'exclusive'): Disposable | undefined {
  return sqlite ? lockBySqlite(sqlite, file, mode) : lockByFlock(file, mode)
}

function lockBySqlite({ DatabaseSync }: typeof import('node:sqlite'), file: string, mode: 'shared' | 'exclusive') {
  let holder: InstanceType<typeof DatabaseSync> | undefined
  try {
    holder = new DatabaseSync(file)
    holder.exec(mode === 'exclusive' ? 'begin exclusive' : 'begin; select 1 from sqlite_schema')
    return { [Symbol.dispose]: () => holder?.close() }
  } catch (cause) {
    holder?.close()
    const code = cause instanceof Error && 'errcode' in cause ? cause.errcode : undefined
    if (code === SQLITE_BUSY) return undefined
    if (code === SQLITE_CANTOPEN) closeSync(openForLock(file)) // its error has the reason, which that of SQLite lacks
    throw cannotLock(file, cause)
  }
}

/**
 * flock(1) locks the file that it inherits from this process, and the lock belongs to both: it stays when flock exits, until this
 * process closes the file or ends (flock(2)).
 */
function lockByFlock(file: string, mode: 'shared' | 'exclusive'): Disposable | undefined {
  const handle = openForLock(file)
  const { status } = spawnSync('flock', ['-n', mode === 'shared' ? '-s' : '-x', '3'], {
    stdio: ['ignore', 'ignore', 'ignore', handle],
  })
  if (status === 0) return { [Symbol.dispose]: () => closeSync(handle) }
  closeSync(handle)
  if (status === 1) return undefined
  const version = `Node ${process.versions.node}`
  throw new LocksMissing(`${version} cannot lock files without the program flock: install util-linux, or Node 24`)
}

function openForLock(file: string): number {
  try {
    return openSync(file, 'a')
  } catch (cause) {
    throw cannotLock(file, cause)
  }
}

function cannotLock(file: string, cause: unknown): FileLockError {
  const reason = isDiskFull(cause) ? 'the disk is full' : 'does it belong to another user?'
  return new FileLockError(`Cannot lock ${file}: ${reason}`, { cause })
}

/** Waits for the exclusive lock on `file`, at most `timeout` milliseconds, then throws FileLockError. */
export async function acquireLock(file: string, timeout: number): Promise<Disposable> {
  const deadline = Date.now() + timeout
  for (;;) {
    const lock = tryLock(file, 'exclusive')
    if (lock) return lock
    if (Date.now() > deadline) {
      throw new FileLockError(`Another process has locked ${file} for more than ${timeout / 1000} s`)
    }
    await sleep(50)
  }
}
