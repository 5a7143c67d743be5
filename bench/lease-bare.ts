import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { clientEnvironment } from './bench-psql.ts'
import type { Surroundings } from './bench-surroundings.ts'

const run = promisify(execFile)

/**
 * The yardstick of leases: what PostgreSQL alone can do. A table of users with a holder, an index of the free ones, and one statement
 * that takes some with SKIP LOCKED from a random start. It returns ids and no users, and keeps no lease.
 */
export async function makeBareTable({ sql, within }: Surroundings): Promise<void> {
  await within(300, 'table of the yardstick', async () => {
    await sql`drop table if exists bare_users`
    await sql`
      create table bare_users (id uuid primary key, place integer not null, holder uuid, until timestamptz) with (fillfactor = 70)`
    await sql`insert into bare_users (id, place) select id, row_number() over (order by id) from users`
    await sql`grant all on bare_users to public` // pgbench connects as the service does
    await sql`create index bare_users_free on bare_users (place) where holder is null`
  })
}

/** Makes all users of the yardstick free. */
export async function emptyBareTable({ sql, within }: Surroundings): Promise<void> {
  await within(300, 'return of the users of the yardstick', async () => {
    await sql`update bare_users set holder = null where holder is not null`
    await sql`vacuum (analyze) bare_users`
  })
}

const SCRIPT = (users: number) => `\\set start random(1, ${users})
with taken as (
  select id from bare_users where holder is null and place >= :start order by place limit :n for update skip locked
)
update bare_users u set holder = gen_random_uuid(), until = now() + interval '1 minute' from taken
where u.id = taken.id returning u.id;
`

/** The newest installed pgbench, of PATH or of Debian's packages; undefined without one. */
export async function findPgbench(): Promise<string | undefined> {
  for (const program of ['pgbench', ...globSync('/usr/lib/postgresql/*/bin/pgbench').toSorted().reverse()]) {
    const isThere = await run(program, ['--version'], { timeout: 10_000 }).then(
      () => true,
      () => false,
    )
    if (isThere) return program
  }
  return undefined
}

/** Takes `count` users per statement on `callers` connections for `seconds`. Returns statements per second. */
export async function takeBare(
  surroundings: Surroundings,
  pgbench: string,
  { callers, count, seconds }: { callers: number; count: number; seconds: number },
): Promise<number> {
  const script = join(surroundings.folder, 'take.sql')
  await writeFile(script, SCRIPT(surroundings.options.listed))
  const options = ['-n', '-M', 'prepared', '-c', `${callers}`, '-j', '1', '-T', `${seconds}`, '-D', `n=${count}`]
  const { stdout } = await surroundings.within(seconds + 60, 'pgbench', (signal) =>
    run(pgbench, [...options, '-f', script], { env: clientEnvironment(surroundings), signal }),
  )
  const [, perSecond] = /^tps = ([\d.]+)/m.exec(stdout) ?? []
  if (perSecond === undefined) throw new Error(`pgbench printed no tps: ${stdout}`)
  return Number(perSecond)
}
