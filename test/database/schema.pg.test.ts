import { globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { connect } from '../../src/database/connection.ts'
import { migrate } from '../../src/database/migrate.ts'
import { emptyDatabase } from '../database.ts'
import { suite } from '../suite.ts'

const t = suite()

// The tables in src/**/tables.ts match the migrations, which are written by hand. PostgreSQL compares them: it creates
// both, in two schemas, and describes them.

const root = fileURLToPath(new URL('../..', import.meta.url))
const { generateDrizzleJson, generateMigration } = createRequire(import.meta.url)(
  'drizzle-kit/api',
) as typeof import('drizzle-kit/api')
// drizzle-kit adds an enumerable member to all arrays. Ajv then compiles wrong code for an `enum`, in every service of this process.
Reflect.deleteProperty(Array.prototype, 'random')
type Snapshot = ReturnType<typeof generateDrizzleJson>

/** The tables in the form of a drizzle-kit snapshot. */
async function readTables(): Promise<Snapshot> {
  const exported: Record<string, unknown> = {}
  for (const file of globSync('src/**/tables.ts', { cwd: root })) {
    Object.assign(exported, await import(pathToFileURL(`${root}${file}`).href))
  }
  return generateDrizzleJson(exported)
}

const url = await emptyDatabase()

/**
 * Columns, constraints and indexes of the tables, as PostgreSQL describes them, without those that drizzle cannot
 * express.
 */
async function describe(schema: string): Promise<string[]> {
  const sql = connect({ url, schema, connections: 1, name: 'test' })
  const rows = await sql<{ line: string }[]>`
    with described as (
      select oid, relname from pg_class
      where relnamespace = ${schema}::regnamespace and relkind = 'r'
        and relname not in ('part_changes', '__drizzle_migrations')
    )
    select concat_ws(' ', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), l.collname,
        case when a.attnotnull then 'not null' end, nullif(a.attidentity::text, ''),
        'default ' || pg_get_expr(d.adbin, d.adrelid)) as line
      from described c
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      left join pg_collation l on l.oid = a.attcollation
      left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    union all
    select concat_ws(' ', c.relname, k.conname, pg_get_constraintdef(k.oid))
      from described c join pg_constraint k on k.conrelid = c.oid and k.contype in ('p', 'u', 'f', 'c')
    union all
    select replace(pg_get_indexdef(i.indexrelid), ${`${schema}.`}, '') from described c join pg_index i on i.indrelid = c.oid
    union all
    select concat_ws(' ', sequencename, start_value, increment_by, min_value, max_value, cycle, data_type)
      from pg_sequences where schemaname = ${schema} and sequencename not like ${'part\\_changes%'}
        and sequencename not like ${'\\_\\_drizzle%'}
    order by 1`
  await sql.end()
  return rows.map(({ line }) => line)
}

t.test('columns, constraints and indexes are the same in src/**/tables.ts and in the migrations', async (t) => {
  await migrate(url, 'usersync')
  const sql = connect({ url, schema: 'public', connections: 1, name: 'test' })
  const [foundation] = readMigrationFiles({ migrationsFolder: `${root}migrations` })
  const statements = await generateMigration(generateDrizzleJson({}), await readTables()) // foreign keys name `public`
  for (const statement of [...(foundation?.sql ?? []), ...statements]) await sql.unsafe(statement)
  await sql.end()
  const migrated = await describe('usersync')
  t.ok(migrated.length > 150, 'the query finds the tables')
  t.strictSame(await describe('public'), migrated)
})

t.test('the latest drizzle-kit snapshot is up to date', async (t) => {
  const latest = globSync('migrations/meta/*_snapshot.json', { cwd: root }).toSorted().at(-1)
  const snapshot: Snapshot = JSON.parse(await readFile(`${root}${latest}`, 'utf8'))
  t.strictSame(JSON.parse(JSON.stringify((await readTables()).tables)), snapshot.tables)
})
