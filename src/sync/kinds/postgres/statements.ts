/*
 * The statements for the tables of a mapping. Names are quoted. Values arrive as bound parameters, one for each column: an array with a
 * text per user, or a single text if all users have the same. The input has the columns `n` (the place of the user, from 0), `c0`,
 * `c1`, … (values), `k0`, … (the key as it was written) and `id` (the returned value as it was written). PostgreSQL casts each text to
 * the type of its column, without the length: with it, a cast would cut long texts silently.
 *
 * As arrays, 100,000 rows of Django's columns cost the server 0.2 s; as one JSON text, 0.4 s.
 */

export interface Column {
  name: string
  type: string
}

/** A column with a value for each user. */
export interface ValueColumn extends Column {
  /** Whether all users have the same value. */
  isConstant: boolean
  /** The place of the table above whose returned value this is. */
  returnedBy: number | undefined
}

/** A table of a mapping, with the types of its columns. */
export interface Table {
  /** As the mapping names it. */
  name: string
  columns: ValueColumn[]
  key: Column[]
  returning: Column | undefined
}

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

interface InputColumn {
  as: string
  type: string
  isConstant: boolean
}

const valuesOf = ({ columns }: Table): InputColumn[] =>
  columns.map(({ type, isConstant }, index) => ({ as: `c${index}`, type, isConstant }))

function identityOf({ key, returning }: Table): InputColumn[] {
  const keys = key.map(({ type }, index) => ({ as: `k${index}`, type, isConstant: false }))
  return returning ? [...keys, { as: 'id', type: returning.type, isConstant: false }] : keys
}

/**
 * The rows of the parameters for this many users, cast to the types of the table. The limit tells the planner how many they are. It
 * would expect 1,000, and read a whole table instead of looking up a few of its rows.
 */
function input(columns: InputColumn[], users: number): string {
  const given = columns.map((column, index) => ({ ...column, parameter: `$${index + 1}` }))
  const arrays = given.filter(({ isConstant }) => !isConstant)
  const casts = list(
    given,
    ({ as, type, isConstant, parameter }) => `${isConstant ? `${parameter}::text` : `r.${as}`}::${type} as ${as}`,
  )
  return `select r.n::int - 1 as n, ${casts}
    from unnest(${list(arrays, ({ parameter }) => `${parameter}::text[]`)})
      with ordinality as r (${list(arrays, ({ as }) => as)}, n)
    limit ${users}`
}

const keyTexts = ({ key }: Table, from: string) =>
  list(key, ({ name }, index) => `${from}${quote(name)}::text as k${index}`)

function insertInto({ name, columns }: Table, from: string): string {
  return `insert into ${quoteTable(name)} (${list(columns, ({ name }) => quote(name))})
    select ${list(columns, (_, index) => `c${index}`)} from ${from}`
}

/** Inserts rows, or fails if one of their unique values exists. Returns the key as stored and the returned value of each. */
export function insertStatement(table: Table, users: number): string {
  const { returning } = table
  return `${insertInto(table, `(${input(valuesOf(table), users)}) input`)}
    returning ${keyTexts(table, '')}, ${returning ? `${quote(returning.name)}::text` : 'null'} as id`
}

/**
 * Inserts rows unless one of their unique values exists. Returns `n`, the key as stored and the returned value. `n` is null if the database
 * has changed the key. Of rows with the same key, only the first is inserted.
 */
export function insertUntakenStatement(table: Table, users: number): string {
  const { columns, key, returning } = table
  const keyInput = key.map(({ name }) => `c${columns.findIndex((column) => column.name === name)}`)
  return `
    with given as materialized (${input(valuesOf(table), users)}),
    input as materialized (
      select distinct on (${list(keyInput, (name) => name)}) * from given order by ${list(keyInput, (name) => name)}, n
    ),
    added as (
      ${insertInto(table, 'input')} order by n
      on conflict do nothing returning ${list(key, ({ name }, index) => `${quote(name)} as k${index}`)}
        ${returning ? `, ${quote(returning.name)}::text as id` : ''}
    )
    select input.n, ${list(key, (_, index) => `added.k${index}::text as k${index}`)},
      ${returning ? 'added.id' : 'null'} as id
    from added left join input on ${list(key, (_, index) => `input.${keyInput[index]} = added.k${index}`, ' and ')}`
}

/** Whether a row `t` is the one that `input` identifies. */
function isIdentified({ key, returning }: Table): string {
  const keys = list(key, ({ name }, index) => `t.${quote(name)} = input.k${index}`, ' and ')
  return returning ? `${keys} and t.${quote(returning.name)} = input.id` : keys
}

/** Changes the rows that we wrote. Returns `n` and the key as stored for each that is still there. */
export function updateStatement(table: Table, users: number): string {
  return `
    with input as materialized (${input([...valuesOf(table), ...identityOf(table)], users)})
    update ${quoteTable(table.name)} t
    set ${list(table.columns, ({ name }, index) => `${quote(name)} = input.c${index}`)}
    from input where ${isIdentified(table)}
    returning input.n, ${keyTexts(table, 't.')}`
}

/** Removes the rows that we wrote, and that are still there. */
export function deleteStatement(table: Table, users: number): string {
  return `
    with input as materialized (${input(identityOf(table), users)})
    delete from ${quoteTable(table.name)} t using input where ${isIdentified(table)}`
}

/** Returns `n` and the text of a column, for each of the rows that we wrote and that are still there. */
export function columnStatement(table: Table, users: number, column: string): string {
  return `
    with input as materialized (${input(identityOf(table), users)})
    select input.n, t.${quote(column)}::text as value
    from input join ${quoteTable(table.name)} t on ${isIdentified(table)}`
}

/**
 * Describes tables, views and foreign tables, which `is_table` tells apart: the types of their columns, and the columns of each key
 * that `on conflict` can rely on. Of `char(5)`, the type without its length is `bpchar`, since `char` alone means `char(1)`: hence the
 * -1. A type has the collation of its column, so that values are the same here if they are the same in its index: `Ann` and `ann`, if
 * the column ignores case.
 */
export const DESCRIBE_TABLES = `
  select r.n, c.relkind in ('r', 'p') as is_table,
    (select json_object_agg(a.attname, format_type(a.atttypid, -1)
        || case when a.attcollation <> 0 then ' collate ' || a.attcollation::regcollation else '' end) from pg_attribute a
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
  join pg_class c on c.relnamespace = s.oid and c.relname = r.name and c.relkind in ('r', 'p', 'v', 'm', 'f')`
