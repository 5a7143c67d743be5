import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chown, mkdtemp, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Place } from './embedded-place.ts'
import { EmbeddedDatabaseError } from './embedded-place.ts'

/** A database cluster on disk: the folders and files of one server. */
export interface Cluster {
  place: Place
  /** The folder that PostgreSQL calls the data directory. */
  data: string
  /** What the server writes, from its latest start on; that of the start before in `<log>.1`. */
  log: string
  /** The password of the user `usersync`. */
  password: string
}

/**
 * Opens the cluster of `place`, and makes it where there is none: a superuser `usersync` with a password of 32 random
 * bytes, UTF-8, and the collation of code points, which is the same on every machine. `durable: false` leaves it to the
 * kernel when to write it to disk. It is made under another name and renamed when complete, so that an attempt that was
 * killed leaves only a folder for the next one to remove. The caller holds the lock. Throws EmbeddedDatabaseError.
 */
export async function openCluster(place: Place, { durable }: { durable: boolean }): Promise<Cluster> {
  const folder = join(place.directory, 'cluster')
  if (!existsSync(folder)) await makeCluster(place, folder, durable)
  const password = await readFile(join(folder, 'password'), 'utf8')
  return { place, data: join(folder, 'data'), log: join(folder, 'server.log'), password }
}

/**
 * The initdb of a service that was killed goes on for a second, so it may write to its folder while we remove it. That
 * is also why each attempt has a folder of another name.
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
    if (durable) await syncFolder(place.directory)
  } catch (cause) {
    await rm(unfinished, REMOVE)
    throw new EmbeddedDatabaseError(`PostgreSQL could not make a database cluster in ${folder}: ${reason(cause)}`, {
      cause,
    })
  }
}

/** Without it a power cut could take back the new name, and with it all that was written there since. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder)
  await handle.sync().finally(() => handle.close())
}

/**
 * Runs one of PostgreSQL's programs as the server's user, for at most `timeout` seconds. It gets no environment of
 * ours: that holds secrets, and PGDATA, PGPORT and their like would change what the program does.
 */
export async function runProgram(place: Place, program: string, args: string[], timeout: number): Promise<void> {
  await promisify(execFile)(join(place.programs, program), args, {
    ...place.account,
    cwd: place.directory, // the working directory of root may be out of that user's reach
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
    timeout: timeout * 1000,
    killSignal: 'SIGKILL',
  })
}

/** What a program of PostgreSQL said about its failure. */
export function reason(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message?: string }
  return (stderr || message || String(error)).trim()
}
