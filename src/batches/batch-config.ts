import { type Static, Type } from 'typebox'
import type { Config } from '../config.ts'
import { Problem } from '../errors.ts'

/** Algorithms of the hashes that are made for the batch's passwords. */
const Algorithm = Type.Enum(['argon2id', 'none'])

/** A chunk is one transaction and one row of bookkeeping; a batch has at most this many. */
const MOST_CHUNKS = 100_000

/** The settings of a batch that a request may give; the rest comes from the defaults. */
export const batchConfigBody = (config: Config) =>
  Type.Object(
    {
      username_pattern: Type.Optional(
        Type.String({
          minLength: 1,
          maxLength: 254,
          description: 'Knows {id} (a running number of the pool), {n} (1 to count) and {batch} (the batch’s short id)',
        }),
      ),
      email_domain: Type.Optional(
        Type.String({ minLength: 1, maxLength: 253, pattern: '^[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)*$' }),
      ),
      role: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
      custom_attributes: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
      password: Type.Optional(
        Type.String({ minLength: 1, maxLength: 256, description: 'Generated where it is not given' }),
      ),
      password_mode: Type.Optional(Type.Enum(['shared'])),
      password_hash: Type.Optional(
        Type.Object(
          { algorithm: Type.Optional(Algorithm), distinct: Type.Optional(Type.Integer({ minimum: 1, maximum: 1 })) },
          { additionalProperties: false },
        ),
      ),
      chunk_size: Type.Optional(Type.Integer({ minimum: 1, maximum: 50_000 })),
      max_workers: Type.Optional(Type.Integer({ minimum: 1, maximum: config.maxWorkers })),
    },
    { additionalProperties: false },
  )

/** Every setting of a batch but its password: what is stored, and answered. */
export const BatchConfig = Type.Object({
  username_pattern: Type.String(),
  email_domain: Type.String(),
  role: Type.String(),
  custom_attributes: Type.Record(Type.String(), Type.Unknown()),
  password_mode: Type.Enum(['shared']),
  password_hash: Type.Object({ algorithm: Algorithm, distinct: Type.Integer() }),
  chunk_size: Type.Integer(),
  max_workers: Type.Integer(),
})

export type BatchConfig = Static<typeof BatchConfig>
export type BatchConfigBody = Static<ReturnType<typeof batchConfigBody>>

/**
 * The given settings, completed with the defaults; the password apart, undefined where none was given. Throws
 * `invalid_request` where the batch would have more chunks than one may.
 */
export function completeConfig(
  given: BatchConfigBody,
  count: number,
  config: Config,
): { settings: BatchConfig; password: string | undefined } {
  const { password, ...rest } = given
  const settings: BatchConfig = {
    username_pattern: 'testuser_{id}@example.com',
    email_domain: 'example.com',
    role: 'user',
    custom_attributes: {},
    password_mode: 'shared',
    chunk_size: config.chunkSize,
    max_workers: config.maxWorkers,
    ...rest,
    password_hash: { algorithm: 'argon2id', distinct: 1, ...given.password_hash },
  }
  const least = Math.ceil(count / MOST_CHUNKS)
  if (settings.chunk_size < least) {
    const message = `must be at least ${least} for ${count} users`
    const errors = [{ path: 'body.config.chunk_size', code: 'minimum', message }]
    throw new Problem('invalid_request', `body.config.chunk_size ${message}`, { errors })
  }
  return { settings, password }
}
