import { type Static, Type } from 'typebox'
import type { Config } from '../config/config.ts'
import { DOMAIN_EXPECTED, DOMAIN_FORM } from '../config/reserved-domain.ts'
import { type MemberFault, Problem } from '../errors.ts'
import { isForBcrypt, MOST_BCRYPT_BYTES } from '../passwords/bcrypt.ts'
import { hashCostMs } from '../passwords/hash-cost.ts'
import { ALGORITHMS, withCosts } from '../passwords/hash-password.ts'
import { completeHash, hashOptions, MAX_HASH_MS } from '../passwords/hash-settings.ts'
import { jsonbBytes } from '../protocol/longest-line.ts'
import { CustomAttributes, nameOf } from '../users/user-schema.ts'

const PasswordMode = Type.Enum(['shared', 'per_user'])

/** Maximum number of chunks in a batch. A chunk is one transaction and one row of bookkeeping. */
export const MOST_CHUNKS = 100_000

/** Size as PostgreSQL stores and exports the attributes, once for each user of the batch. */
const MAX_ATTRIBUTES_BYTES = 65_536

/** The settings of a batch that a request can contain. Defaults apply to the rest. */
export const batchConfigBody = (config: Config) =>
  Type.Object(
    {
      username_pattern: Type.Optional(
        Type.String({
          minLength: 1,
          maxLength: 254,
          description:
            'Placeholders: {id} (a running number of the pool), {n} (1 to count) and {batch} (the batch’s short id)',
        }),
      ),
      email_domain: Type.Optional(
        Type.String({ minLength: 1, maxLength: 253, pattern: DOMAIN_FORM.source, description: DOMAIN_EXPECTED }),
      ),
      role: Type.Optional(nameOf(64)),
      custom_attributes: Type.Optional(CustomAttributes),
      password: Type.Optional(Type.String({ minLength: 1, maxLength: 256, description: 'Default: generated' })),
      password_mode: Type.Optional(PasswordMode),
      password_hash: Type.Optional(
        Type.Object(
          { ...hashOptions, distinct: Type.Optional(Type.Integer({ minimum: 1 })) },
          { additionalProperties: false },
        ),
      ),
      totp: Type.Optional(Type.Boolean({ description: 'Give each user a TOTP secret (RFC 6238). Default: false' })),
      chunk_size: Type.Optional(Type.Integer({ minimum: 1, maximum: 50_000 })),
      max_workers: Type.Optional(Type.Integer({ minimum: 1, maximum: config.maxWorkers })),
    },
    { additionalProperties: false },
  )

/** The hash settings of a batch, completed. Batches of earlier versions have no costs, and a preset may have gone since. */
const PasswordHash = Type.Object({
  ...hashOptions,
  algorithm: Type.Enum([...ALGORITHMS]),
  preset: Type.Optional(Type.String()),
  distinct: Type.Integer(),
})

/** Every setting of a batch except its password, as it is stored and returned. */
export const BatchConfig = Type.Object({
  username_pattern: Type.String(),
  email_domain: Type.String(),
  role: Type.String(),
  custom_attributes: CustomAttributes,
  password_mode: PasswordMode,
  password_hash: PasswordHash,
  totp: Type.Optional(Type.Boolean({ description: 'Batches of earlier versions do not have it' })),
  chunk_size: Type.Integer(),
  max_workers: Type.Integer(),
})

/** Estimates how many milliseconds the hashes of a batch take, if each of its workers has a core. */
export const hashingMs = ({ password_hash: hash, max_workers }: BatchConfig): number =>
  (hashCostMs(withCosts(hash)) * hash.distinct) / max_workers

/** Defaults for settings that neither the request nor its template names. The template `default` shows them. */
export const DEFAULT_USERS = {
  username_pattern: 'testuser_{id}@example.com',
  email_domain: 'example.com',
  role: 'user',
  custom_attributes: {},
}

export type BatchConfig = Static<typeof BatchConfig>
export type BatchConfigBody = Static<ReturnType<typeof batchConfigBody>>

/**
 * Returns the given settings, completed with the defaults, and the password separately, undefined if there is none.
 * Throws `invalid_request` if the settings contradict each other or the count, or if the attributes are too large.
 */
export function completeConfig(
  given: BatchConfigBody,
  count: number,
  config: Config,
): { settings: BatchConfig; password: string | undefined } {
  const { password, ...rest } = given
  const password_mode = given.password_mode ?? 'shared'
  const { distinct = password_mode === 'shared' ? 1 : count, ...options } = given.password_hash ?? {}
  const { hash, faults } = completeHash(options)
  const settings: BatchConfig = {
    ...DEFAULT_USERS,
    chunk_size: config.chunkSize,
    max_workers: config.maxWorkers,
    totp: false,
    ...rest,
    password_mode,
    password_hash: { ...hash, ...(options.preset && { preset: options.preset }), distinct },
  }
  const leastChunk = Math.ceil(count / MOST_CHUNKS)
  const errors: MemberFault[] = []
  const wrong = (member: string, code: string, message: string) =>
    errors.push({ path: `body.config.${member}`, code, message })
  const attributesBytes = jsonbBytes(JSON.stringify(settings.custom_attributes))
  if (attributesBytes > MAX_ATTRIBUTES_BYTES) {
    const expected = `must be at most ${MAX_ATTRIBUTES_BYTES} bytes, with every number written out; has ${attributesBytes}`
    wrong('custom_attributes', 'too_large', expected)
  }
  if (settings.chunk_size < leastChunk) wrong('chunk_size', 'minimum', `must be at least ${leastChunk} for this count`)
  for (const { path, code, message } of faults) wrong(['password_hash', path].filter(Boolean).join('.'), code, message)
  if (distinct > count) wrong('password_hash.distinct', 'maximum', `must be at most the count, ${count}`)
  const mostHashes = MOST_CHUNKS * Math.floor(MAX_HASH_MS / hashCostMs(hash))
  if (faults.length === 0 && distinct > mostHashes) {
    wrong('password_hash.distinct', 'maximum', `must be at most ${mostHashes} with these costs of a hash`)
  }
  if (password !== undefined && password_mode === 'per_user') {
    wrong('password', 'contradiction', 'cannot be set if each user has a separate password (password_mode per_user)')
  }
  if (password !== undefined && hash.algorithm === 'bcrypt' && !isForBcrypt(password, hash.prefix)) {
    wrong('password', 'maximum', `must be at most ${MOST_BCRYPT_BYTES} bytes, without NUL, for bcrypt`)
  }
  if (errors.length === 0) return { settings, password }
  throw new Problem('invalid_request', errors.map(({ path, message }) => `${path} ${message}`).join('; '), { errors })
}
