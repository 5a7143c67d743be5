import { readdir, readFile, readlink } from 'node:fs/promises'
import { eventually, remaining } from './clock.ts'
import type { Replica } from './replica.ts'
import type { World } from './world.ts'

/**
 * Of a replica with two workers: connections for requests, for the workers, one that listens, one for health, six for uploads, and six
 * for leases.
 */
const CONNECTIONS = 16 + 2 + 1 + 1 + 6 + 6

/** Those of this process, which stay open for some seconds, and those of threads, pipes and the event loop. */
const MAX_CLIENTS = 30
const MAX_FILES = 20
const REST_MS = 20_000

/** Credentials of users that were not deleted with their batch are swept every 10 s. */
const SWEEP_MS = 30_000

/** Deletes every batch through the service, except those that expiry has removed, which must have the same result. */
export async function deleteAll({ sql, client, replicas }: World): Promise<void> {
  const batches = await sql<{ id: string; pool: string }[]>`
    select b.id, p.name as pool from batches b join pools p on p.id = b.pool_id
    where b.expires_at is null or b.expires_at > now() - interval '1 second'`
  for (const [i, { id, pool }] of batches.entries()) {
    const replica = replicas[i % 2 === 0 ? 0 : 1]
    const path = `/v1/batches/${id}?pool=${pool}`
    await eventually(
      30_000,
      async () => (await client.ask({ replica, key: 'writer', method: 'DELETE', path })).status === 200,
    )
  }
}

/** After all batches are deleted or expired, only what users still refer to is left. */
export async function checkNothingLeft({ sql, report }: World): Promise<void> {
  const left = await remaining(
    report.patience('nothing-left', SWEEP_MS),
    () => sql<Record<string, number>[]>`select * from (
    select
      (select count(*) from users u where u.created_by_bulk and u.is_test_user and exists (
        select from batches b where b.pool_id = u.pool_id and b.id = u.batch_id))::int as users,
      (select count(*) from credentials c where not exists (
        select from users u where u.pool_id = c.pool_id and u.credential_id = c.id))::int as credentials,
      (select count(*) from batches b where (b.password_ciphertext is not null or b.totp_ciphertext is not null) and not exists (
        select from credentials c join users u on u.pool_id = c.pool_id and u.credential_id = c.id
        where c.pool_id = b.pool_id and c.batch_id = b.id))::int as secrets,
      (select count(*) from chunks)::int as chunks,
      (select count(*) from part_changes)::int as part_changes) l
    where users + credentials + secrets + chunks + part_changes > 0`,
  )
  if (left.length > 0) report.finding('nothing-left', JSON.stringify(left[0]))
}

/** A service at rest has only the sessions and handles that it needs. */
export async function checkResources({ sql, replicas, report }: World): Promise<void> {
  const sessions = () => sql<{ application: string; count: number; open: number }[]>`
    select application_name as application, count(*)::int as count,
      count(*) filter (where state like 'idle in transaction%' and now() - state_change > interval '5 seconds')::int as open
    from pg_stat_activity where datname = 'source' and application_name like 'usersync%' group by 1`
  let text = ''
  const areBack = await eventually(report.patience('resources-back', REST_MS), async () => {
    const rows = await sessions()
    text = JSON.stringify(rows)
    const total = rows.reduce((sum, { count }) => sum + count, 0)
    return total <= 2 * CONNECTIONS && rows.every(({ open }) => open === 0)
  })
  if (!areBack) report.finding('resources-back', `sessions of both replicas: ${text}`)
  for (const replica of replicas) {
    const isBack = await eventually(report.patience('resources-back', REST_MS), async () => {
      const { sockets, files } = await handlesOf(replica)
      text = `${JSON.stringify(sockets)} and ${files.length} files: ${files.slice(0, 5)}`
      const total = Object.values(sockets).reduce((sum, count) => sum + count, 0)
      return total <= CONNECTIONS + MAX_CLIENTS && files.length <= MAX_FILES
    })
    if (!isBack) report.finding('resources-back', `${replica.name} has ${text}`)
  }
}

/** Files by name, and sockets by kind: the local port, and the state of the connection. */
async function handlesOf({ pid }: Replica): Promise<{ sockets: Record<string, number>; files: string[] }> {
  const handles = await readdir(`/proc/${pid}/fd`)
  const links = await Promise.all(handles.map((handle) => readlink(`/proc/${pid}/fd/${handle}`).catch(() => '')))
  const rows = (await readFile('/proc/net/tcp', 'utf8')).split('\n').slice(1)
  const ends = new Map(rows.map((row) => row.trim().split(/ +/)).map((cells) => [`socket:[${cells[9]}]`, cells]))
  const sockets: Record<string, number> = {}
  for (const link of links.filter((link) => link.startsWith('socket:'))) {
    const [, local = '', remote = '', state = ''] = ends.get(link) ?? []
    const port = (end: string) => Number.parseInt(end.split(':')[1] ?? '0', 16)
    const name = local ? `${port(local) < 32_768 ? 'from a client' : `to ${port(remote)}`}, state ${state}` : 'other'
    sockets[name] = (sockets[name] ?? 0) + 1
  }
  const isFile = (link: string) => link.startsWith('/') && !link.startsWith('/dev/')
  return { sockets, files: links.filter(isFile) }
}
