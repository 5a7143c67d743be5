import { createHmac } from 'node:crypto'
import type { Sql } from 'postgres'
import type { Cluster } from './embedded-cluster.ts'

/*
 * The role that the service uses in its embedded PostgreSQL: the owner of the database `usersync` and of what is in it, without
 * further rights. The superuser of the cluster, `usersync`, could run programs on this machine.
 */

export const SERVICE_ROLE = 'usersync_service'

/** Derived from the superuser's password, which cannot be computed from it. */
export const servicePassword = ({ password }: Pick<Cluster, 'password'>): string =>
  createHmac('sha256', password).update(SERVICE_ROLE).digest('base64url')

export async function ensureServiceRole(sql: Sql, cluster: Cluster): Promise<void> {
  const [found] = await sql`select from pg_roles where rolname = ${SERVICE_ROLE}`
  if (found) return
  // A role's password cannot be a parameter. Letters, digits, _ and - need no quoting.
  await sql.unsafe(`create role ${SERVICE_ROLE} login password '${servicePassword(cluster)}'`)
}

/**
 * Makes the service's role the owner of the database and of everything that users created in it. Earlier versions
 * created it as the superuser, whose objects REASSIGN OWNED does not move. Objects that a table owns change with the
 * table.
 */
export async function giveToServiceRole(sql: Sql): Promise<void> {
  const [database] = await sql<{ is_ours: boolean }[]>`
    select pg_get_userbyid(datdba) = ${SERVICE_ROLE} as is_ours from pg_database where datname = current_database()`
  if (database?.is_ours) return
  await sql.begin(async (transaction) => {
    const statements = await transaction<{ statement: string }[]>`
      with own as (
        select oid, nspname from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'public')
      ), things as (
        select format('schema %I', nspname) as thing from own
        union all
        select format('%s %s', case c.relkind when 'S' then 'sequence' when 'v' then 'view'
          when 'm' then 'materialized view' else 'table' end, c.oid::regclass)
        from pg_class c
        where c.relnamespace in (select oid from own) and c.relkind in ('r', 'p', 'S', 'v', 'm')
          and not exists (
            select from pg_depend d
            where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_class'::regclass
              and d.deptype in ('a', 'i')
          )
        union all
        select format('routine %s', p.oid::regprocedure) from pg_proc p where p.pronamespace in (select oid from own)
        union all
        select format('database %I', current_database())
      )
      select format('alter %s owner to %I', thing, ${SERVICE_ROLE}::text) as statement from things`
    for (const { statement } of statements) await transaction.unsafe(statement)
  })
}
