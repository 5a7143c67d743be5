import { readFileSync } from 'node:fs'
import type { ISql } from 'postgres'
import { setLocal } from '../set-local.ts'

/*
 * A schema that Citus distributes is on one worker, and its triggers run there, on tables with a number behind their names. So it has
 * other forms of some functions, defaults and triggers than the migrations write. A migration of a distributed schema applies them
 * again, in the same transaction, and every start checks them.
 */

/** Whether Citus distributes the schema. False without Citus. */
export async function isDistributed(sql: ISql, schema: string): Promise<boolean> {
  const [citus] = await sql<{ is_there: boolean }[]>`
    select to_regclass('pg_catalog.pg_dist_schema') is not null as is_there`
  if (!citus?.is_there) return false
  const found = await sql`
    select from pg_dist_schema where schemaid = (select oid from pg_namespace where nspname = ${schema})`
  return found.length > 0
}

/** The guard of a definer function, as the migrations write it. */
const GUARD = /tg_relid <> '(\w+)'::regclass/g

/** The same for a worker. Only roles that the owner trusts can create a table in the schema (requireSafeSchema). */
const guardOnWorker = (_: string, table: string) =>
  `tg_table_schema <> current_schema() or tg_table_name !~ '^${table}(_[0-9]+)?$'`

const onWorker = (definition: string) => definition.replace(GUARD, guardOnWorker)

/** The statements of migrations/citus/capture.sql. */
const captureFunctions = () =>
  readFileSync(new URL('../../../migrations/citus/capture.sql', import.meta.url), 'utf8')
    .split('--> statement-breakpoint')
    .map(onWorker)

/** Brings the schema of the connection, which is distributed, into the form for workers. Idempotent. */
export async function applyDistributedForm(tx: ISql): Promise<void> {
  await setLocal(tx, { 'citus.enable_unsafe_triggers': 'on', 'citus.multi_shard_modify_mode': 'sequential' })
  for (const statement of captureFunctions()) await tx.unsafe(statement)
  const others = await tx<{ definition: string }[]>`
    select pg_get_functiondef(p.oid) as definition from pg_proc p
    where p.pronamespace = current_schema()::regnamespace and p.prosrc ~ ${GUARD.source}`
  for (const { definition } of others) await tx.unsafe(onWorker(definition))
  // The coordinator computes defaults, and has no currval. The trigger stamp_insert replaces the 0.
  await tx`alter table users alter column commit_id set default 0, alter column entered_commit_id set default 0`
  // Not `always`: a worker that receives a moved schema would run the triggers again, which fails without end.
  for (const table of await tablesWithTriggers(tx)) await tx`alter table ${tx(table)} enable trigger user`
}

/** Returns the tables of the schema that have triggers of ours. */
export async function tablesWithTriggers(sql: ISql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select distinct c.relname as name from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where c.relnamespace = current_schema()::regnamespace and not t.tgisinternal order by 1`
  return rows.map(({ name }) => name)
}

/** Returns what does not have the form for workers in the schema of the connection: names of functions, triggers and columns. */
export async function distributedFormFaults(sql: ISql): Promise<string[]> {
  const functions = captureFunctions().map((text) => /function (\w+)\(.*?\$\$(.*)\$\$/s.exec(text) ?? [])
  const rows = await sql<{ name: string }[]>`
    select p.proname || '()' as name from pg_proc p
    where p.pronamespace = current_schema()::regnamespace and (
      p.prosrc ~ ${GUARD.source}
      or exists (
        select from unnest(${functions.map(([, name = '']) => name)}::text[], ${functions.map(([, , body = '']) => body)}::text[]) f (name, body)
        where f.name = p.proname and f.body <> p.prosrc
      )
    )
    union all
    select t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where c.relnamespace = current_schema()::regnamespace and not t.tgisinternal and t.tgenabled <> 'O'
    union all
    select a.attname from pg_attrdef d join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
    where d.adrelid = 'users'::regclass and pg_get_expr(d.adbin, d.adrelid) like '%currval%'
    order by 1`
  return rows.map(({ name }) => name)
}
