import type { Sql } from 'postgres'
import type { MemberFault } from '../errors.ts'
import { attempt } from './attempt.ts'
import { isBuiltIn } from './built-in-templates.ts'
import type { TemplateSettings } from './template-schema.ts'
import { type NewTemplate, writeTemplates } from './write-templates.ts'

/** A template as a client sends it, its settings not looked at yet. */
export interface Candidate {
  name: string
  description?: string
  config: object
}

export interface Imported {
  imported: string[]
  skipped: string[]
  errors: MemberFault[]
}

/**
 * Takes over the candidates that are right, in one transaction, and tells the faults of the others. Names of built-in
 * templates, and of the pool's own unless they are to be overwritten, are skipped. Throws `template_limit`, and has then
 * taken over none.
 */
export async function importTemplates(
  sql: Sql,
  poolId: number,
  candidates: Candidate[],
  { overwrite, check }: { overwrite: boolean; check: (config: unknown) => TemplateSettings },
): Promise<Imported> {
  const errors: MemberFault[] = []
  const right = new Map<string, NewTemplate>()
  for (const [i, { name, description = '', config }] of candidates.entries()) {
    if (isBuiltIn(name)) continue
    const place = `body.templates.${i}`
    if (right.has(name)) {
      errors.push({ path: `${place}.name`, code: 'duplicate', message: 'is the name of one before' })
      continue
    }
    const read = attempt(() => check(config), `${place}.config`)
    if (read.value) right.set(name, { name, description, config: read.value })
    else errors.push(...read.errors)
  }
  const written = await writeTemplates(sql, poolId, [...right.values()], { overwrite })
  const imported = written.map(({ template }) => template.name)
  const known = [...candidates.map(({ name }) => name).filter(isBuiltIn), ...right.keys()]
  return { imported, skipped: [...new Set(known)].filter((name) => !imported.includes(name)), errors }
}
