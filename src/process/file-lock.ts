import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'

const SQLITE_BUSY = 5

/** Thrown if a lock cannot be acquired. */
export class FileLockError extends Error {}

/**
 * Locks `file` (created if missing, always empty) against other processes on this machine, without waiting. Returns undefined if
 * another process has the lock. Disposing of the lock releases it, and so does the end of the process: it is a kernel lock. So a
 * kill -9 or a power cut leaves no stale lock, unlike a pid file, whose pid may be reused. Node has no API for such locks, but its
 * bundled SQLite has (https://sqlite.org/lockingv3.html). Throws FileLockError if the file cannot be opened.
 */
export function tryLock(file: string, mode: 'shared' | 'exclusive'): Disposable | undefined {
  let holder: DatabaseSync | undefined
  try {
    holder = new DatabaseSync(file)
    holder.exec(mode === 'exclusive' ? 'begin exclusive' : 'begin; select 1 from sqlite_schema')
    return holder
  } catch (cause) {
    holder?.close()
    if (cause instanceof Error && 'errcode' in cause && cause.errcode === SQLITE_BUSY) return undefined
    throw new FileLockError(`Cannot lock ${file}: does it belong to another user?`, { cause })
  }
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
