import { type Static, Type } from 'typebox'
import type { Config } from '../config/config.ts'
import { DOMAIN_EXPECTED, DOMAIN_FORM } from '../config/reserved-domain.ts'
import { LOCALES } from '../generators/locales.ts'
import { named, strict, strictNamed } from '../http/schemas.ts'
import { ALGORITHMS } from '../passwords/hash-password.ts'
import { hashOptions } from '../passwords/hash-settings.ts'
import { CustomAttributes, nameOf } from '../users/user-schema.ts'

export const MAX_ROLE_LENGTH = 64

/** A text, or a generator of texts. Without `additionalProperties`, responses contain a generator as `{}`. */
const Role = Type.Unsafe<string | Record<string, unknown>>({
  ...nameOf(MAX_ROLE_LENGTH),
  type: ['string', 'object'],
  additionalProperties: true,
})
const Locale = Type.Enum([...LOCALES], { description: 'Of generated names and places. Default: en' })
const PasswordMode = Type.Enum(['shared', 'per_user'])

/** Maximum number of chunks in a batch. A chunk is one transaction and one row of bookkeeping. */
export const MAX_CHUNKS = 100_000

/** The settings of a batch that a request can contain. Defaults apply to the rest. */
export const batchConfigBody = (config: Config) =>
  strictNamed('NewBatchSettings', {
    username_pattern: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 254,
        description:
          'Placeholders: {id} (a running number of the pool), {n} (1 to count), {batch} (the batch’s short id) and the names of top-level attributes',
      }),
    ),
    email_domain: Type.Optional(
      Type.String({ minLength: 1, maxLength: 253, pattern: DOMAIN_FORM.source, description: DOMAIN_EXPECTED }),
    ),
    role: Type.Optional(Role),
    custom_attributes: Type.Optional(CustomAttributes),
    password: Type.Optional(Type.String({ minLength: 1, maxLength: 256, description: 'Default: generated' })),
    password_mode: Type.Optional(PasswordMode),
    password_hash: Type.Optional(strict({ ...hashOptions, distinct: Type.Optional(Type.Integer({ minimum: 1 })) })),
    totp: Type.Optional(Type.Boolean({ description: 'Give each user a TOTP secret (RFC 6238). Default: false' })),
    locale: Type.Optional(Locale),
    seed: Type.Optional(
      Type.String({ minLength: 1, maxLength: 200, description: 'Determines the generated values. Default: random' }),
    ),
    epoch: Type.Optional(
      Type.String({
        description:
          'RFC 3339, from 1970 on, to the millisecond. The users’ created_at and updated_at; their ids then follow from the settings, so that the same request produces the same state on any server',
      }),
    ),
    chunk_size: Type.Optional(Type.Integer({ minimum: 1, maximum: 50_000 })),
    max_workers: Type.Optional(Type.Integer({ minimum: 1, maximum: config.maxWorkers })),
  })

/** The hash settings of a batch, completed. Batches of earlier versions have no costs, and a preset may have gone since. */
const PasswordHash = Type.Object({
  ...hashOptions,
  algorithm: Type.Enum([...ALGORITHMS]),
  preset: Type.Optional(Type.String()),
  distinct: Type.Integer(),
})

/** Every setting of a batch except its password, as it is stored and returned. */
export const BatchConfig = named('BatchSettings', {
  username_pattern: Type.String(),
  email_domain: Type.String(),
  role: Type.Union([Type.String(), CustomAttributes]),
  custom_attributes: CustomAttributes,
  password_mode: PasswordMode,
  password_hash: PasswordHash,
  generator_version: Type.Optional(Type.Integer()),
  locale: Type.Optional(Locale),
  seed: Type.Optional(Type.String()),
  epoch: Type.Optional(Type.String()),
  totp: Type.Optional(Type.Boolean({ description: 'Batches of earlier versions do not have it' })),
  chunk_size: Type.Integer(),
  max_workers: Type.Integer(),
})

/** Defaults for settings that neither the request nor its template names. The template `default` shows them. */
export const DEFAULT_USERS = {
  username_pattern: 'testuser_{id}@example.com',
  email_domain: 'example.com',
  role: 'user',
  custom_attributes: {},
}

export type BatchConfig = Static<typeof BatchConfig>
export type BatchConfigBody = Static<ReturnType<typeof batchConfigBody>>
