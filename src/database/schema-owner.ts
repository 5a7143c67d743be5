import type { Sql } from 'postgres'

/**
 * Makes sure that no stranger can put a function or an operator into the schema: definer functions of the service would call
 * it with the rights of their owner. Trusted are this role, roles that it is a member of or that are members of it, superusers
 * and the owner of the database, who is the administrator at most providers. Throws an Error that says what to do.
 */
export async function requireSafeSchema(sql: Sql, schema: string): Promise<void> {
  const [found] = await sql<{ owner: string; me: string; is_foreign: boolean; is_open: boolean }[]>`
    select owner.rolname as owner, current_user as me,
      not (
        owner.rolsuper
        or pg_has_role(current_user, owner.oid, 'member')
        or pg_has_role(owner.oid, current_user, 'member')
        or owner.oid = (select datdba from pg_database where datname = current_database())
      ) as is_foreign,
      exists (
        select from aclexplode(n.nspacl) acl where acl.grantee = 0 and acl.privilege_type = 'CREATE'
      ) as is_open
    from pg_namespace n
    join pg_roles owner on owner.oid = n.nspowner
    where n.nspname = ${schema}`
  if (found?.is_foreign) {
    throw new Error(
      `the schema ${schema} belongs to ${found.owner}: name another one by DB_SCHEMA, or make ${found.me} its owner`,
    )
  }
  if (found?.is_open) {
    throw new Error(
      `every role may create objects in the schema ${schema}: revoke create on schema ${schema} from public, or name another one by DB_SCHEMA`,
    )
  }
}
