import { Type } from 'typebox'
import { type BatchConfigBody, batchConfigBody } from '../batches/batch-config.ts'
import type { Config } from '../config/config.ts'

/** The words that stand in a template's place in other paths are no names. */
export const TemplateName = Type.String({
  pattern: '^(?!(export|import|validate)$)[a-z0-9][a-z0-9._-]{0,62}$',
  description: 'Lower-case letters, digits, and . _ - after the first; at most 63. Not export, import or validate.',
})

/** Settings of a batch as a template holds them: all but the password. */
export type TemplateSettings = Omit<BatchConfigBody, 'password'>

/** The settings that a template may be given. */
export function templateConfigBody(config: Config) {
  const { password: _, ...members } = batchConfigBody(config).properties
  return Type.Object(members, { additionalProperties: false })
}

/** What a template is given beside its name. */
export const templateMembers = (config: Config) => ({
  description: Type.Optional(Type.String({ maxLength: 200 })),
  config: templateConfigBody(config),
})

const timeOrNull = Type.Union([Type.String({ description: 'RFC 3339, UTC' }), Type.Null()], {
  description: 'null: built in',
})

/** A template as it is answered everywhere. */
export const templateAnswer = (config: Config) =>
  Type.Object({
    name: Type.String(),
    description: Type.String(),
    built_in: Type.Boolean(),
    config: templateConfigBody(config),
    created_at: timeOrNull,
    updated_at: timeOrNull,
  })
