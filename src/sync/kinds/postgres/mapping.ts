import { Type } from 'typebox'
import type { FieldError } from '../../../errors.ts'
import { strict } from '../../../http/schemas.ts'
import type { Refusal, SinkUser } from '../kind.ts'
import { type CompiledValue, compileValue, InvalidValue } from '../values.ts'

/** One table of a mapping: the row that a user becomes there. */
export interface TableMapping {
  /** `schema.table`, or `table` in the schema public. */
  table: string
  columns: Record<string, unknown>
  /** The columns of a unique key, which identify the row. */
  key: string[]
  /** A column that the database fills, such as a serial id. It identifies the row, too. */
  returning?: string
}

/** What a user becomes: a row in each table, in this order. */
export interface TablesMapping {
  tables: TableMapping[]
}

/** PostgreSQL's limit for a name is 63 bytes. */
const Name = Type.String({ minLength: 1, maxLength: 63 })

export const TablesMappingSchema = strict(
  {
    tables: Type.Array(
      strict({
        table: Type.String({ pattern: '^[^".]{1,63}(\\.[^".]{1,63})?$', description: '`table` or `schema.table`' }),
        columns: Type.Record(Type.String({ minLength: 1, maxLength: 63 }), Type.Unknown(), {
          minProperties: 1,
          maxProperties: 100,
        }),
        key: Type.Array(Name, { minItems: 1, maxItems: 8 }),
        returning: Type.Optional(Name),
      }),
      { minItems: 1, maxItems: 10 },
    ),
  },
  { description: 'What each user becomes: a row in each of these tables, in this order' },
)

/**
 * The rows of one user by table, and their values by column, in the order of the mapping. Columns with a returned value are null until
 * they are written. Arrays, because objects with a member for each column took 30 MB more for 100,000 users.
 */
export type Rows = (string | null)[][]

/** A table whose values are ready to be rendered. */
export interface CompiledTable {
  columns: [name: string, value: CompiledValue][]
  key: string[]
}

const compiled = new WeakMap<TablesMapping, CompiledTable[]>()

/** Compiles a mapping once. Throws InvalidValue, which `mappingFaults` prevents. */
export function compileTables(mapping: TablesMapping): CompiledTable[] {
  const known = compiled.get(mapping)
  if (known) return known
  const tables = mapping.tables.map(({ columns, key }) => ({
    columns: Object.entries(columns).map(([name, value]) => [name, compileValue(value)] as [string, CompiledValue]),
    key,
  }))
  compiled.set(mapping, tables)
  return tables
}

/** Returns the rows that a user becomes, or why it cannot be written. */
export function renderRows(
  mapping: TablesMapping,
  user: SinkUser,
  withSecrets: boolean,
): { rendered: Rows } | { refusal: Refusal } {
  const rows: Rows = []
  for (const { columns, key } of compileTables(mapping)) {
    const row: Rows[number] = Array(columns.length)
    for (let column = 0; column < columns.length; column++) {
      const [name, { text, returned }] = columns[column] as CompiledTable['columns'][number]
      const value = text(user, withSecrets)
      if (value !== null && typeof value === 'object') return { refusal: value }
      if (value === null && returned === undefined && key.includes(name)) {
        return { refusal: { code: 'value_missing', detail: `The key column ${name} has no value for this user.` } }
      }
      row[column] = value
    }
    rows.push(row)
  }
  return { rendered: rows }
}

/** Returns rows with the names of their columns. */
export const showRows = (rows: Rows, mapping: TablesMapping): Record<string, string | null>[] =>
  compileTables(mapping).map(({ columns }, table) =>
    Object.fromEntries(columns.map(([name], column) => [name, rows[table]?.[column] ?? null])),
  )

/** Returns what is wrong with the values, keys and references of a mapping. */
export function tablesFaults({ tables }: TablesMapping): FieldError[] {
  const faults: FieldError[] = []
  const add = (path: string, message: string) => faults.push({ path, code: 'invalid', message })
  tables.forEach((mapping, index) => {
    const path = `body.mapping.tables.${index}`
    const { table, columns, key, returning } = mapping
    const above = tables.slice(0, index)
    if (above.some((other) => other.table === table)) add(`${path}.table`, 'names a table a second time')
    const values = new Map<string, CompiledValue>()
    for (const [name, value] of Object.entries(columns)) {
      const compiledValue = compileOrAdd(value, (message) => add(`${path}.columns.${name}`, message))
      if (compiledValue) values.set(name, compiledValue)
      const { returned } = compiledValue ?? {}
      if (returned !== undefined && !above.some((other) => other.table === returned && other.returning !== undefined))
        add(`${path}.columns.${name}`, 'expects the name of a table above that has returning')
    }
    for (const [position, name] of key.entries()) {
      if (!Object.hasOwn(columns, name)) add(`${path}.key.${position}`, 'is not one of the columns')
      if (values.get(name)?.isSecret) add(`${path}.key.${position}`, 'is a secret, which cannot identify a row')
    }
    const keyValues = key.flatMap((name) => values.get(name) ?? [])
    if (keyValues.length === key.length && !keyValues.some(({ varies }) => varies))
      add(`${path}.key`, 'is the same for all users')
    if (returning !== undefined && Object.hasOwn(columns, returning))
      add(`${path}.returning`, 'is one of the columns already')
  })
  return faults
}

function compileOrAdd(value: unknown, add: (message: string) => void): CompiledValue | undefined {
  try {
    return compileValue(value)
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error
    add(error.message)
    return undefined
  }
}
