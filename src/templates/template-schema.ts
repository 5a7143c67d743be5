import { Type } from 'typebox'
import { type BatchConfigBody, batchConfigBody } from '../batches/batch-config.ts'
import type { Config } from '../config/config.ts'
import { named, strictNamed } from '../http/schemas.ts'

/** The settings that a template stores: those of a batch, without the password. */
export type TemplateSettings = Omit<BatchConfigBody, 'password'>

/** The settings that a template accepts. */
export function templateConfigBody(config: Config) {
  const { password: _, ...members } = batchConfigBody(config).properties
  return strictNamed('TemplateSettings', members)
}

/** What a template has besides its name. */
export const templateMembers = (config: Config) => ({
  description: Type.Optional(Type.String({ maxLength: 200 })),
  config: templateConfigBody(config),
})

const timeOrNull = Type.Union([Type.String({ description: 'RFC 3339, UTC' }), Type.Null()], {
  description: 'null: built in',
})

/** A template in every response. */
export const templateAnswer = (config: Config) =>
  named('Template', {
    name: Type.String(),
    description: Type.String(),
    built_in: Type.Boolean(),
    config: templateConfigBody(config),
    created_at: timeOrNull,
    updated_at: timeOrNull,
  })
