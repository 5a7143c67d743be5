import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Sql, TransactionSql } from 'postgres'
import { type FieldError, Problem } from '../errors.ts'
import { serializeCreations } from '../pools/locks.ts'
import { isBuiltIn } from './built-in-templates.ts'
import { attempt } from './settings.ts'
import type { TemplateSettings } from './template-schema.ts'
import { MAX_TEMPLATES, type Template, templateColumns, templateNotFound } from './templates.ts'

export type NewTemplate = Pick<Template, 'name' | 'description' | 'config'>

interface Written {
  template: Template
  isNew: boolean
}

/** Creates a template. Throws `template_exists`, also for the name of a built-in template, and `template_limit`. */
export async function createTemplate(sql: Sql, poolId: number, template: NewTemplate): Promise<Template> {
  const exists = () =>
    new Problem(
      'template_exists',
      'Choose another name, or replace the template with PUT. Built-in templates cannot be replaced.',
    )
  if (isBuiltIn(template.name)) throw exists()
  const [written] = await writeTemplates(sql, poolId, [template], { overwrite: false })
  if (!written) throw exists()
  return written.template
}

/** Creates or replaces a template. Returns whether it is new. Throws `template_built_in` and `template_limit`. */
export async function putTemplate(sql: Sql, poolId: number, template: NewTemplate): Promise<Written> {
  refuseBuiltIn(template.name)
  const [written] = await writeTemplates(sql, poolId, [template], { overwrite: true })
  return written as Written
}

/** Deletes a template. Batches created from it do not change. Throws `template_built_in` and `template_not_found`. */
export async function deleteTemplate(sql: Sql, poolId: number, name: string): Promise<void> {
  refuseBuiltIn(name)
  const { count } = await sql`delete from templates where pool_id = ${poolId} and name = ${name}`
  if (count === 0) throw templateNotFound()
}

function refuseBuiltIn(name: string): void {
  if (isBuiltIn(name)) throw new Problem('template_built_in', 'Create a template with another name.')
}

/**
 * Writes templates with distinct names, all or none. Existing templates stay unless `overwrite` is set. Returns the
 * written templates. Locks the pool's row first: otherwise two writers could exceed the limit together. Throws
 * `template_limit`.
 */
function writeTemplates(
  sql: Sql,
  poolId: number,
  templates: NewTemplate[],
  { overwrite }: { overwrite: boolean },
): Promise<Written[]> {
  return sql.begin(async (tx) => {
    await serializeCreations(tx, poolId)
    const names = templates.map(({ name }) => name)
    if ((await countOthers(tx, poolId, names)) + names.length > MAX_TEMPLATES) {
      throw new Problem('template_limit', `A pool has at most ${MAX_TEMPLATES} templates. Delete some first.`)
    }
    const rows = await upsert(tx, poolId, templates, overwrite)
    return rows.map(({ is_new: isNew, ...template }) => ({ template, isNew }))
  })
}

async function countOthers(tx: TransactionSql, poolId: number, names: string[]): Promise<number> {
  const [row] = await tx<{ count: number }[]>`
    select count(*)::int as count from templates where pool_id = ${poolId} and name <> all (${names}::text[])`
  return row?.count ?? 0
}

async function upsert(tx: TransactionSql, poolId: number, templates: NewTemplate[], overwrite: boolean) {
  const descriptions = templates.map(({ description }) => description)
  const settings = templates.map(({ config }) => JSON.stringify(config))
  return await tx<(Template & { is_new: boolean })[]>`
    with written as (
      insert into templates as t (pool_id, name, description, settings)
      select ${poolId}::int, name, description, settings::jsonb
      from unnest(${templates.map(({ name }) => name)}::text[], ${descriptions}::text[], ${settings}::text[])
        as given (name, description, settings)
      on conflict (pool_id, name) do update
        set description = excluded.description, settings = excluded.settings, updated_at = excluded.updated_at
        where ${overwrite}
      returning t.*, xmax = 0 as is_new
    )
    select ${templateColumns(tx)}, is_new from written t`
}

/** A template from a client. Its settings are not validated yet. */
export interface Candidate {
  name: string
  description?: string
  config: object
}

export interface Imported {
  imported: string[]
  skipped: string[]
  errors: FieldError[]
}

/**
 * Imports the valid candidates in one transaction, and returns the faults of the others. Skips the names of built-in
 * templates and, without `overwrite`, of the pool's own. Throws `template_limit`; then it imports nothing.
 *
 * Checking a template of 64 KiB can take a quarter of a second, so other requests have their turn before each.
 */
export async function importTemplates(
  sql: Sql,
  poolId: number,
  candidates: Candidate[],
  { overwrite, check }: { overwrite: boolean; check: (config: unknown) => TemplateSettings },
): Promise<Imported> {
  const errors: FieldError[] = []
  const right = new Map<string, NewTemplate>()
  for (const [i, { name, description = '', config }] of candidates.entries()) {
    if (isBuiltIn(name)) continue
    const place = `body.templates.${i}`
    if (right.has(name)) {
      errors.push({ path: `${place}.name`, code: 'duplicate', message: 'is a duplicate of an earlier name' })
      continue
    }
    await nextTurn()
    const read = attempt(() => check(config), `${place}.config`)
    if (read.value) right.set(name, { name, description, config: read.value })
    else errors.push(...read.errors)
  }
  const written = await writeTemplates(sql, poolId, [...right.values()], { overwrite })
  const imported = written.map(({ template }) => template.name)
  const known = [...candidates.map(({ name }) => name).filter(isBuiltIn), ...right.keys()]
  return { imported, skipped: [...new Set(known)].filter((name) => !imported.includes(name)), errors }
}
