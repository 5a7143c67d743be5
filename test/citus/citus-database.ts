import { randomBytes } from 'node:crypto'
import { databaseUrl, onServer } from '../cluster.ts'

interface Test {
  teardown(fn: () => Promise<void>): void
}

export interface CitusDatabase {
  /** The URL of the service's role. */
  url: string
  /** The URL of the superuser, whose sessions are not the service's. */
  adminUrl: string
  /** Sets or resets what sessions of the service's role have on every node. */
  setRole(settings: Record<string, string | undefined>): Promise<unknown>
}

/**
 * Creates a database with Citus on every node of the cluster, and a role for a service. `base` is the URL of a superuser and a database
 * of the coordinator in which Citus knows its workers. Both are dropped at the end of `t`.
 */
export async function citusDatabase(t: Test, base: string): Promise<CitusDatabase> {
  const name = `usersync_test_${randomBytes(6).toString('hex')}`
  const nodes: { host: string; port: number; is_coordinator: boolean }[] = []
  await onServer(base, async (sql) => {
    nodes.push(
      ...(await sql<typeof nodes>`
        select nodename as host, nodeport as port, groupid = 0 as is_coordinator from pg_dist_node where noderole = 'primary'
        order by groupid desc`),
    )
    await sql.unsafe(`create role ${name} login password '${name}'`) // Citus creates it on the workers too
  })
  t.teardown(() => onServer(base, (sql) => sql`drop role ${sql(name)}`))
  for (const { host, port } of nodes) {
    const server = Object.assign(new URL(base), { hostname: host, port: String(port) }).href
    await onServer(server, (sql) => sql`create database ${sql(name)}`)
    t.teardown(() => onServer(server, (sql) => sql`drop database ${sql(name)} with (force)`))
    await onServer(databaseUrl(server, name), (sql) => sql`create extension citus`)
  }
  const adminUrl = databaseUrl(base, name)
  const admin = (statement: string) => onServer(adminUrl, (sql) => sql.unsafe(statement))
  for (const { host, port, is_coordinator: isCoordinator } of nodes.toReversed()) {
    await admin(`select ${isCoordinator ? 'citus_set_coordinator_host' : 'citus_add_node'}('${host}', ${port})`)
  }
  await admin(`grant create on database ${name} to ${name}`)
  return {
    url: Object.assign(new URL(adminUrl), { username: name, password: name }).href,
    adminUrl,
    async setRole(settings) {
      for (const [setting, value] of Object.entries(settings)) {
        const change = value === undefined ? `reset ${setting}` : `set ${setting} = '${value}'`
        await admin(`alter role ${name} in database ${name} ${change}`)
      }
    },
  }
}
