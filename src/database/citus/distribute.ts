import type { ISql, Sql } from 'postgres'
import { setLocal } from '../set-local.ts'
import { applyDistributedForm, distributedFormFaults, isDistributed, tablesWithTriggers } from './distributed-form.ts'

/** The oldest version of Citus that the tests ran with. */
const OLDEST = 13

/** How long a statement on a worker waits for a lock. The connection's own lock_timeout does not reach it. */
const LOCK_TIMEOUT = '5s'

/**
 * Returns what is missing before the schema can be distributed, each with the command that adds it. Changes nothing. Empty if all is
 * there.
 */
export async function missingForDistribution(sql: Sql): Promise<string[]> {
  const [found] = await sql<{ version: string | null; role: string; database: string; is_superuser: boolean }[]>`
    select (select extversion from pg_extension where extname = 'citus') as version, current_user as role,
      current_database() as database, (select rolsuper from pg_roles where rolname = current_user) as is_superuser`
  const { version = null, role = '', database = '', is_superuser: isSuperuser = false } = found ?? {}
  if (version === null) {
    return [
      `the database ${database} has no Citus: set shared_preload_libraries = 'citus' on every node, restart it, and run there in this database: create extension citus`,
    ]
  }
  if (Number.parseInt(version, 10) < OLDEST) return [`Citus is ${version}: update it to ${OLDEST} or later`]
  const [node] = await sql<{ is_coordinator: boolean; workers: number }[]>`
    select (select groupid = 0 from pg_dist_local_group) as is_coordinator,
      (select count(*)::int from pg_dist_node where isactive and shouldhaveshards and noderole = 'primary') as workers`
  if (!node?.is_coordinator) return ['DATABASE_URL leads to a worker: give the address of the coordinator']
  if (node.workers === 0) {
    return [
      `there is no worker: as a superuser, run select citus_set_coordinator_host('HOST', PORT), and for each worker select citus_add_node('HOST', PORT)`,
    ]
  }
  if (isSuperuser) {
    return [
      `${role} is a superuser, whose sessions on workers must not all count as the service's: create another role on every node, which owns the schema, and give it in DATABASE_URL`,
    ]
  }
  return await missingSettings(sql, `alter role ${quote(role)} in database ${quote(database)} set`)
}

/** The settings that sessions of the role have on every node: there the settings of the service's connection do not exist. */
async function missingSettings(sql: Sql, command: string): Promise<string[]> {
  const wanted = { 'usersync.service': 'on', lock_timeout: LOCK_TIMEOUT }
  const missing: string[] = []
  for (const [name, value] of Object.entries(wanted)) {
    const nodes = await onAllNodes(sql, `select current_setting('${name}', true)`)
    const without = nodes.filter(({ result }) => result !== value)
    if (without.length === 0) continue
    const where = without.map(({ node }) => node).join(', ')
    missing.push(`${name} is not '${value}' at ${where}: as a superuser, run ${command} ${name} = '${value}'`)
  }
  return missing
}

const quote = (name: string) => `"${name.replaceAll('"', '""')}"`

/** Runs a query of one value in a new session on each node. Throws an Error if a node does not answer. */
async function onAllNodes(sql: Sql, query: string): Promise<{ node: string; result: string }[]> {
  const rows = await sql<{ node: string; success: boolean; result: string }[]>`
    select n.nodename || ':' || n.nodeport as node, r.success, r.result
    from run_command_on_all_nodes(${query}) r join pg_dist_node n using (nodeid) order by 1`
  const failed = rows.find(({ success }) => !success)
  if (failed) throw new Error(`${failed.node}: ${failed.result}`)
  return rows
}

/**
 * Moves the tables of the schema to one worker, in one transaction, and brings them into the form for workers. For a schema that is
 * distributed already it only does the latter. Every writer and reader waits meanwhile. Returns whether it has moved the tables.
 */
export async function distributeSchema(sql: Sql, schema: string): Promise<boolean> {
  const isMoved = !(await isDistributed(sql, schema))
  await sql.begin(async (tx) => {
    if (isMoved) await moveTables(tx, schema)
    await applyDistributedForm(tx)
  })
  return isMoved
}

async function moveTables(tx: ISql, schema: string): Promise<void> {
  await setLocal(tx, { 'citus.enable_unsafe_triggers': 'on', 'citus.multi_shard_modify_mode': 'sequential' })
  // The copy would fire them, and fail.
  for (const table of await tablesWithTriggers(tx)) await tx`alter table ${tx(table)} disable trigger user`
  await tx`alter table part_changes set logged` // an unlogged table cannot be moved online
  await tx`select citus_schema_distribute(oid::regnamespace) from pg_namespace where nspname = ${schema}`
}

/** Returns the faults of a distributed schema. Empty if all is well. */
export async function distributionFaults(sql: Sql, schema: string): Promise<string[]> {
  const faults = (await distributedFormFaults(sql)).map((name) => `${name} does not have the form for workers`)
  const tables = await sql<{ name: string }[]>`
    select c.relname as name from pg_class c
    left join pg_dist_partition d on d.logicalrelid = c.oid
    where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' and d.logicalrelid is null order by 1`
  faults.push(...tables.map(({ name }) => `the table ${name} is not distributed`))
  const functions = await onAllNodes(
    sql,
    `select md5(string_agg(proname || prosrc, ' ' order by proname)) from pg_proc where pronamespace = '${quote(schema).replaceAll("'", "''")}'::regnamespace`,
  )
  const [first] = functions
  const other = functions.find(({ result }) => result !== first?.result)
  if (first && other) faults.push(`the functions of ${schema} differ at ${first.node} and ${other.node}`)
  const triggers = await sql<{ disabled: string }[]>`
    select r.result as disabled
    from run_command_on_placements('users', 'select count(*) from pg_trigger where tgrelid = %L::regclass and tgenabled <> ''D'' and not tgisinternal') r
    where r.result <> (select count(*)::text from pg_trigger where tgrelid = 'users'::regclass and not tgisinternal)`
  if (triggers.length > 0) faults.push('triggers of users are not enabled on the worker')
  return faults
}
