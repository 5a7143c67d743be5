import type { Fragment, ISql, PendingQuery, Sql } from 'postgres'
import { type Page, readPage } from '../database/page.ts'
import { Problem } from '../errors.ts'
import { BUILT_IN } from './built-in-templates.ts'
import type { TemplateSettings } from './template-schema.ts'

/** A template as the API returns it. A built-in template has no times. */
export interface Template {
  name: string
  description: string
  built_in: boolean
  config: TemplateSettings
  created_at: string | null
  updated_at: string | null
}

/** Maximum number of templates in a pool, besides the built-in ones. */
export const MAX_TEMPLATES = 100

const builtIns: Template[] = BUILT_IN.map((template) => ({
  ...template,
  built_in: true,
  created_at: null,
  updated_at: null,
}))

/** Thrown by every look-up that finds no template. */
export const templateNotFound = () =>
  new Problem('template_not_found', 'GET /v1/templates lists the existing templates.')

/** Returns the template with this name, built-in or the pool's own. Throws `template_not_found`. */
export async function readTemplate(sql: Sql, poolId: number, name: string): Promise<Template> {
  const found = builtIns.find((template) => template.name === name) ?? (await selectOne(sql, poolId, name))
  if (!found) throw templateNotFound()
  return found
}

/** Returns one page of templates by name, built-in and the pool's own: those after `after`. */
export async function listTemplates(sql: Sql, poolId: number, after: string, limit: number): Promise<Page<Template>> {
  const own = await readPage(sql, limit, (sql, rows) => selectPage(sql, poolId, after, rows))
  const lastName = own.hasMore ? own.rows.at(-1)?.name : undefined
  const all = [
    ...own.rows,
    ...builtIns.filter(({ name }) => name > after && (lastName === undefined || name < lastName)),
  ]
  const rows = all.sort((a, b) => (a.name < b.name ? -1 : 1)).slice(0, limit)
  return { rows, hasMore: own.hasMore || rows.length < all.length }
}

/** Returns the pool's own templates by name. */
export async function listOwnTemplates(sql: Sql, poolId: number): Promise<Template[]> {
  return await selectPage(sql, poolId, '', MAX_TEMPLATES)
}

async function selectOne(sql: Sql, poolId: number, name: string): Promise<Template | undefined> {
  const [row] = await sql<Template[]>`
    select ${templateColumns(sql)} from templates t where t.pool_id = ${poolId} and t.name = ${name}`
  return row
}

function selectPage(sql: ISql, poolId: number, after: string, limit: number): PendingQuery<Template[]> {
  return sql<Template[]>`
    select ${templateColumns(sql)} from templates t where t.pool_id = ${poolId} and t.name > ${after}
    order by t.name limit ${limit}`
}

/** The columns of the row `t` as the API returns a template. */
export function templateColumns(sql: ISql): Fragment {
  return sql`t.name, t.description, false as built_in, t.settings as config,
    rfc3339(t.created_at) as created_at, rfc3339(t.updated_at) as updated_at`
}
