import { setTimeout as sleep } from 'node:timers/promises'
import type { Sql } from 'postgres'
import root from 'tap'
import { type Service, startService } from './service.ts'

interface Test {
  teardown(fn: () => Promise<void>): void
}

const A_DAY_MS = 86_400_000

interface Shared {
  service: Service
  /** What schemaOf returned at the start. */
  schema: string
}

/** Services that no test uses at the moment, by their settings. */
const idle = new Map<string, Shared[]>()

/**
 * A service with two worker threads and an empty database. It removes expired batches only on request. It is shared: at
 * the end of `t` its database is emptied, and the next caller in this process with the same settings gets it. A service
 * costs 0.2 to 0.5 s of CPU time, an emptied database 0.05 s. A test that needs counters, caches or background work that
 * nobody else uses starts its own with `startService`.
 */
export async function sharedService(t: Test, settings: Record<string, string> = {}): Promise<Service> {
  const kind = JSON.stringify(settings)
  const free = idle.get(kind) ?? []
  idle.set(kind, free)
  const shared = free.pop() ?? (await start(settings))
  const { service, schema } = shared
  t.teardown(async () => {
    await empty(service)
    if ((await schemaOf(service)) !== schema) throw new Error('the test left the schema changed: undo it in a teardown')
    service.log.length = 0
    free.push(shared)
  })
  return service
}

async function start(settings: Record<string, string>): Promise<Shared> {
  const service = await startService(root, { MAX_WORKERS: '2', ...settings }, { expiryMs: A_DAY_MS })
  return { service, schema: await schemaOf(service) }
}

/** Deletes everything but the default pool, and starts all ids again. Waits for the chunks in progress. */
async function empty({ sql, workers }: Service): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`set local lock_timeout = '60s'`
    await tx`delete from chunks`
  })
  while (workers.inWork() > 0) await sleep(10)
  for (let attempt = 1; ; attempt++) {
    try {
      return await truncate(sql)
    } catch (error) {
      // Background work of the service may lock the same tables in another order.
      if ((error as { code?: string }).code !== DEADLOCK_DETECTED || attempt === 5) throw error
    }
  }
}

const DEADLOCK_DETECTED = '40P01'

/** Truncates the tables that have rows. Truncating all of them takes 40 ms of CPU time: each gets new files, and its indexes too. */
const truncate = (sql: Sql) =>
  sql.begin(async (tx) => {
    await tx`set local lock_timeout = '60s'`
    const tables = await tx<{ name: string }[]>`
      select relname as name from pg_class where relnamespace = 'usersync'::regnamespace and relkind = 'r'
        and relname not in ('__drizzle_migrations', 'encryption_key_check', 'pools')`
    const looks = tables.map(({ name }) => `select '${name}' as name where exists (select from ${name})`)
    const filled = await tx.unsafe<{ name: string }[]>(looks.join(' union all '))
    await tx`alter table users disable trigger refuse_truncate`
    if (filled.length > 0) await tx`truncate ${tx(filled.map(({ name }) => name))} cascade`
    await tx`alter table users enable always trigger refuse_truncate`
    await tx`delete from pools`
    await tx`
      select setval(seqrelid, seqstart, false) from pg_sequence join pg_depend on objid = seqrelid
      where deptype = 'i' and refclassid = 'pg_class'::regclass and refobjid in (
        select oid from pg_class where relnamespace = 'usersync'::regnamespace)` // ids of rows
    await tx`insert into pools (id, name) values (1, 'default')`
  })

/** What a test may change beside the rows. */
async function schemaOf({ sql }: Service): Promise<string> {
  const rows = await sql`
    select 'table', relname || relkind::text || coalesce(reloptions::text, '') from pg_class
      where relnamespace = 'usersync'::regnamespace
    union all
    select 'trigger', relname || tgname::text || tgenabled::text from pg_trigger join pg_class c on c.oid = tgrelid
      where relnamespace = 'usersync'::regnamespace and not tgisinternal
    union all
    select 'function', oid::regprocedure || md5(prosrc) from pg_proc where pronamespace = 'usersync'::regnamespace
    union all
    select 'constraint', conrelid::regclass || conname::text from pg_constraint where connamespace = 'usersync'::regnamespace
    union all
    select 'default', relname || adnum::text || pg_get_expr(adbin, adrelid) from pg_attrdef join pg_class c on c.oid = adrelid
      where relnamespace = 'usersync'::regnamespace
    union all
    select 'setting', setconfig::text from pg_db_role_setting where setdatabase = (select oid from pg_database where datname = current_database())
    order by 1, 2`
  return JSON.stringify(rows)
}
