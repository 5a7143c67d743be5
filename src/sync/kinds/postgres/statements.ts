import type { TableMapping } from './mapping.ts'

/*
 * The statements for the tables of a mapping. Names are quoted, values arrive as one bound parameter: JSON with a row per user,
 * `n` and the texts `c0`, `c1`, … (values), `k0`, … (the key as it was written) and `id` (the returned value as it was written).
 * PostgreSQL casts each text to the type of its column, without the length: with it, a cast would cut long texts silently.
 */

/** The types of a table's columns, by name. */
export type ColumnTypes = Record<string, string>

/** Quotes an identifier. */
const quote = (name: string) => `"${name.replaceAll('"', '""')}"`

/** The schema and the name of a mapping's table. */
export function tableName(table: string): { schema: string; name: string } {
  const [first = '', second] = table.split('.')
  return second === undefined ? { schema: 'public', name: first } : { schema: first, name: second }
}

function quoteTable(table: string): string {
  const { schema, name } = tableName(table)
  return `${quote(schema)}.${quote(name)}`
}

const list = <Item>(items: Item[], text: (item: Item, index: number) => string, separator = ', ') =>
  items.map(text).join(separator)

/** The rows of the parameter, with these columns cast to the types of the table. */
function input(given: { as: string; type: string }[]): string {
  const texts = list(given, ({ as }) => `${as} text`)
  return `select r.n, ${list(given, ({ as, type }) => `r.${as}::${type} as ${as}`)}
    from json_to_recordset($1::text::json) as r(n int, ${texts})`
}

const typed = (types: ColumnTypes, names: string[], prefix: string) =>
  names.map((name, index) => ({ as: `${prefix}${index}`, type: types[name] ?? 'text' }))

/**
 * Inserts rows unless one of their unique values exists. Returns `n`, the key as stored, the returned value, and the number of rows
 * that were inserted. Of rows with the same key, only the first is inserted.
 */
export function insertStatement({ table, columns, key, returning }: TableMapping, types: ColumnTypes): string {
  const names = Object.keys(columns)
  const keyInput = key.map((name) => `c${names.indexOf(name)}`)
  return `
    with given as materialized (${input(typed(types, names, 'c'))}),
    input as materialized (
      select distinct on (${list(keyInput, (name) => name)}) * from given order by ${list(keyInput, (name) => name)}, n
    ),
    added as (
      insert into ${quoteTable(table)} (${list(names, quote)})
      select ${list(names, (_, index) => `c${index}`)} from input order by n
      on conflict do nothing returning ${list(key, (name, index) => `${quote(name)} as k${index}`)}
        ${returning === undefined ? '' : `, ${quote(returning)}::text as id`}
    )
    select input.n, ${list(key, (_, index) => `added.k${index}::text as k${index}`)},
      ${returning === undefined ? 'null' : 'added.id'} as id, (select count(*)::int from added) as total
    from added join input on ${list(key, (_, index) => `input.${keyInput[index]} = added.k${index}`, ' and ')}`
}

/** Whether a row `t` is the one that `input` identifies. */
function isIdentified({ key, returning }: TableMapping): string {
  const keys = list(key, (name, index) => `t.${quote(name)} = input.k${index}`, ' and ')
  return returning === undefined ? keys : `${keys} and t.${quote(returning)} = input.id`
}

function identity({ key, returning }: TableMapping, types: ColumnTypes) {
  const id = returning === undefined ? [] : [{ as: 'id', type: types[returning] ?? 'text' }]
  return [...typed(types, key, 'k'), ...id]
}

/** Changes the rows that we wrote. Returns `n` and the key as stored for each that is still there. */
export function updateStatement(mapping: TableMapping, types: ColumnTypes): string {
  const names = Object.keys(mapping.columns)
  return `
    with input as materialized (${input([...typed(types, names, 'c'), ...identity(mapping, types)])})
    update ${quoteTable(mapping.table)} t set ${list(names, (name, index) => `${quote(name)} = input.c${index}`)}
    from input where ${isIdentified(mapping)}
    returning input.n, ${list(mapping.key, (name, index) => `t.${quote(name)}::text as k${index}`)}`
}

/** Removes the rows that we wrote, and that are still there. */
export function deleteStatement(mapping: TableMapping, types: ColumnTypes): string {
  return `
    with input as materialized (${input(identity(mapping, types))})
    delete from ${quoteTable(mapping.table)} t using input where ${isIdentified(mapping)}`
}

/** Returns `n` and the text of a column, for each of the rows that we wrote and that are still there. */
export function columnStatement(mapping: TableMapping, types: ColumnTypes, column: string): string {
  return `
    with input as materialized (${input(identity(mapping, types))})
    select input.n, t.${quote(column)}::text as value from input join ${quoteTable(mapping.table)} t on ${isIdentified(mapping)}`
}

/** Describes tables: the types of their columns, and the columns of each key that `on conflict` can rely on. */
export const DESCRIBE_TABLES = `
  select r.n,
    (select json_object_agg(a.attname, format_type(a.atttypid, null)) from pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
    (select json_agg(k.names) from (
      select (select json_agg(a.attname order by a.attname) from pg_attribute a
        where a.attrelid = c.oid and a.attnum = any((i.indkey::int2[])[0:i.indnkeyatts - 1])) as names
      from pg_index i
      where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null
        and i.indexprs is null
    ) k) as keys
  from json_to_recordset($1::text::json) as r(n int, schema text, name text)
  join pg_namespace s on s.nspname = r.schema
  join pg_class c on c.relnamespace = s.oid and c.relname = r.name and c.relkind in ('r', 'p')`
