import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Surroundings } from './bench-surroundings.ts'

const run = promisify(execFile)

/** The version of the installed psql; undefined if there is none (the npm package of PostgreSQL contains none). */
export async function findPsql(): Promise<string | undefined> {
  try {
    return (await run('psql', ['--version'], { timeout: 10_000 })).stdout.trim()
  } catch {
    return undefined
  }
}

/** The environment with which programs of PostgreSQL connect to the service's database. */
export function clientEnvironment({ databaseUrl }: Surroundings): Record<string, string | undefined> {
  const { hostname, port, username, password, pathname } = new URL(databaseUrl)
  return {
    PATH: process.env.PATH,
    LC_ALL: 'C', // decimal point
    PGHOST: hostname,
    PGPORT: port,
    PGUSER: username,
    PGPASSWORD: decodeURIComponent(password),
    PGDATABASE: pathname.slice(1),
    PGOPTIONS: '-c search_path=usersync,public',
  }
}

/**
 * Runs one psql command, for at most `seconds`. Returns the milliseconds that psql reports, which exclude its start and
 * the connection.
 */
export async function psql(surroundings: Surroundings, command: string, seconds: number): Promise<number> {
  const args = ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-c', '\\timing on', '-c', command]
  const { stdout } = await surroundings.within(seconds, 'psql', (signal) =>
    run('psql', args, { env: clientEnvironment(surroundings), signal }),
  )
  const [, milliseconds] = /^Time: ([\d.]+) ms/m.exec(stdout) ?? []
  if (milliseconds === undefined) throw new Error(`psql printed no time: ${stdout}`)
  return Number(milliseconds)
}
