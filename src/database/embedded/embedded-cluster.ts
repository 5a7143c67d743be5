import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chown, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { syncFolder } from '../../process/sync-folder.ts'
import { EmbeddedDatabaseError, type Place } from './embedded-place.ts'

/** A database cluster on disk: the files of one server. */
export interface Cluster {
  place: Place
  /** The data directory of PostgreSQL. */
  data: string
  /** The log of the server since its latest start; that of the previous start is in `<log>.1`. */
  log: string
  /** The password of the user `usersync`. */
  password: string
}

/**
 * Opens the cluster of `place`, or creates it: a superuser `usersync` with a password of 32 random bytes, UTF-8, and
 * collation by code points, which is the same on every machine. With `durable: false` the kernel decides when to write
 * it to disk. The cluster is created with a temporary name and renamed when complete, so that a killed attempt leaves
 * only a folder for the next attempt to delete. The caller holds the lock. Throws EmbeddedDatabaseError.
 */
export async function openCluster(place: Place, { durable }: { durable: boolean }): Promise<Cluster> {
  const { folder, data, log, passwordFile } = clusterIn(place.directory)
  if (!existsSync(folder)) await makeCluster(place, folder, durable)
  return { place, data, log, password: await readFile(passwordFile, 'utf8') }
}

/** The paths of the cluster in the directory of a place. */
export function clusterIn(directory: string) {
  const folder = join(directory, 'cluster')
  return {
    folder,
    data: join(folder, 'data'),
    log: join(folder, 'server.log'),
    passwordFile: join(folder, 'password'),
  }
}

/**
 * The initdb of a killed service continues for a second, so it may write to its folder while we delete it. For the same
 * reason each attempt uses a new folder name.
 */
const REMOVE = { recursive: true, force: true, maxRetries: 20, retryDelay: 20 }

async function makeCluster(place: Place, folder: string, durable: boolean): Promise<void> {
  for (const entry of await readdir(place.directory)) {
    if (entry.startsWith('unfinished-')) await rm(join(place.directory, entry), REMOVE)
  }
  const unfinished = await mkdtemp(join(place.directory, 'unfinished-'))
  const passwordFile = join(unfinished, 'password')
  try {
    await writeFile(passwordFile, randomBytes(32).toString('base64url'), { mode: 0o600, flush: true })
    if (place.account) {
      for (const path of [unfinished, passwordFile]) await chown(path, place.account.uid, place.account.gid)
    }
    await runProgram(
      place,
      'initdb',
      [
        ...['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
        ...['--username=usersync', `--pwfile=${passwordFile}`, '--auth=scram-sha-256', '--no-instructions'],
        ...(durable ? [] : ['--no-sync']),
        join(unfinished, 'data'),
      ],
      120,
    )
    await rename(unfinished, folder)
    if (durable) await syncFolder(place.directory) // a power cut that undid the rename would lose everything written since
  } catch (cause) {
    await rm(unfinished, REMOVE)
    throw new EmbeddedDatabaseError(`PostgreSQL could not create a database cluster in ${folder}: ${reason(cause)}`, {
      cause,
    })
  }
}

/**
 * Runs a PostgreSQL program as the server's user, for at most `timeout` seconds. It does not inherit our environment,
 * because that contains secrets, and because PGDATA, PGPORT and so on would change what the program does.
 */
export async function runProgram(place: Place, program: string, args: string[], timeout: number): Promise<void> {
  await promisify(execFile)(join(place.programs, program), args, {
    ...place.account,
    cwd: place.directory, // that user may have no access to the working directory of root
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
    timeout: timeout * 1000,
    killSignal: 'SIGKILL',
  })
}

/** Returns the error message of a PostgreSQL program. */
export function reason(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message?: string }
  return (stderr || message || String(error)).trim()
}
