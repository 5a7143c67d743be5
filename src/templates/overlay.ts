import type { BatchConfigBody } from '../batches/batch-config.ts'
import type { TemplateSettings } from './template-schema.ts'

/**
 * The template's settings, each replaced by the request's where it gives one. The password's hash is settled member by
 * member too; custom attributes are one setting, so that a request can also take some away.
 */
export function overlay(template: TemplateSettings, given: BatchConfigBody): BatchConfigBody {
  return { ...template, ...given, password_hash: { ...template.password_hash, ...given.password_hash } }
}
