import type { Config } from '../config/config.ts'
import { type FieldError, invalidRequest } from '../errors.ts'
import type { Population } from '../generators/compile-population.ts'
import { GENERATOR_VERSION } from '../generators/draws.ts'
import { isForBcrypt, MAX_BCRYPT_BYTES } from '../passwords/hash-algorithms.ts'
import { hashCostMs } from '../passwords/hash-password.ts'
import { completeHash, MAX_HASH_MS } from '../passwords/hash-settings.ts'
import { isTime } from '../protocol/time.ts'
import { NAME_EXPECTED, NAME_FORM } from '../users/user-schema.ts'
import { type BatchConfig, type BatchConfigBody, DEFAULT_USERS, MAX_CHUNKS, MAX_ROLE_LENGTH } from './batch-config.ts'
import { compileUsers } from './generated-users.ts'

/** Settings that a batch can be created with. */
export interface CompleteConfig {
  settings: BatchConfig
  /** Undefined: the service chooses one. */
  password: string | undefined
  users: Population
}

/** Maximum size of generators. They are stored with the batch and part of each response that contains it. */
const MAX_GENERATOR_BYTES = 65_536

/** The default pattern with an `epoch`: the numbers `{id}` of a pool depend on its earlier batches. */
const EPOCH_PATTERN = 'testuser_{batch}_{n}@example.com'

/** Reports a fault of a member of the settings, by its path. */
type Wrong = (member: string, code: string, message: string) => void

/**
 * Returns the given settings, completed with the defaults, the password separately, and the compiled generators. Throws
 * `invalid_request` with every fault, or `pattern_invalid` if the only faults are those of the username pattern.
 */
export function completeConfig(given: BatchConfigBody, count: number, config: Config): CompleteConfig {
  const { password, ...rest } = given
  const errors: FieldError[] = []
  const wrong: Wrong = (member, code, message) => errors.push({ path: `body.config.${member}`, code, message })
  const password_mode = given.password_mode ?? 'shared'
  const settings: BatchConfig = {
    ...DEFAULT_USERS,
    generator_version: GENERATOR_VERSION,
    locale: 'en',
    totp: false,
    chunk_size: config.chunkSize,
    max_workers: config.maxWorkers,
    ...rest,
    password_mode,
    password_hash: completePasswordHash(given, count, wrong),
  }
  completeEpoch(settings, given, wrong)
  const minChunkSize = Math.ceil(count / MAX_CHUNKS)
  if (settings.chunk_size < minChunkSize) {
    wrong('chunk_size', 'minimum', `must be at least ${minChunkSize} for this count`)
  }
  for (const member of ['role', 'custom_attributes'] as const) {
    const bytes = Buffer.byteLength(JSON.stringify(settings[member]))
    if (bytes <= MAX_GENERATOR_BYTES) continue
    wrong(member, 'too_large', `must be at most ${MAX_GENERATOR_BYTES} bytes of JSON; has ${bytes}`)
    throw invalidRequest(errors)
  }
  const users = compileUsers(settings, count)
  if ('faults' in users) for (const { path, code, message } of users.faults) wrong(path, code, message)
  else for (const role of users.roles) checkRole(role, wrong)
  if (errors.length === 0 && !('faults' in users)) return { settings, password, users }
  throw invalidRequest(errors, errors.every(({ code }) => code === 'pattern_invalid') ? 'pattern_invalid' : undefined)
}

function completePasswordHash(given: BatchConfigBody, count: number, wrong: Wrong): BatchConfig['password_hash'] {
  const { password, password_mode = 'shared' } = given
  const { distinct = password_mode === 'shared' ? 1 : count, ...options } = given.password_hash ?? {}
  const { hash, faults } = completeHash(options)
  for (const { path, code, message } of faults) wrong(['password_hash', path].filter(Boolean).join('.'), code, message)
  if (distinct > count) wrong('password_hash.distinct', 'maximum', `must be at most the count, ${count}`)
  const maxHashes = MAX_CHUNKS * Math.floor(MAX_HASH_MS / hashCostMs(hash))
  if (faults.length === 0 && distinct > maxHashes) {
    wrong('password_hash.distinct', 'maximum', `must be at most ${maxHashes} with these costs of a hash`)
  }
  if (password?.includes('\0')) {
    wrong('password', 'unstorable', 'contains U+0000, which no system under test accepts')
  }
  if (password !== undefined && password_mode === 'per_user') {
    wrong('password', 'contradiction', 'cannot be set if each user has a separate password (password_mode per_user)')
  }
  if (password !== undefined && hash.algorithm === 'bcrypt' && !isForBcrypt(password, hash.prefix)) {
    wrong('password', 'maximum', `must be at most ${MAX_BCRYPT_BYTES} bytes, without NUL, for bcrypt`)
  }
  return { ...hash, ...(options.preset && { preset: options.preset }), distinct }
}

/** Writes the epoch in one form, so that equal times are equal settings, and makes the pattern independent of the pool. */
function completeEpoch(settings: BatchConfig, { epoch, username_pattern }: BatchConfigBody, wrong: Wrong): void {
  if (epoch === undefined) return
  const time = isTime(epoch) ? Date.parse(epoch.toUpperCase()) : Number.NaN
  if (time >= 0) settings.epoch = new Date(time).toISOString()
  else wrong('epoch', 'format', 'must be an RFC 3339 time of the years 1970 to 9999, like 2026-01-31T00:00:00Z')
  settings.username_pattern = username_pattern ?? EPOCH_PATTERN
  if (!settings.username_pattern.includes('{id}')) return
  const message = 'cannot use {id} with an epoch, because {id} depends on the earlier batches of the pool. Use {n}'
  wrong('username_pattern', 'contradiction', message)
}

function checkRole(role: string, wrong: Wrong): void {
  if (role !== '' && NAME_FORM.test(role) && [...role].length <= MAX_ROLE_LENGTH) return
  const expected = `expects 1 to ${MAX_ROLE_LENGTH} characters, ${NAME_EXPECTED}`
  wrong('role', 'invalid', `can be ${JSON.stringify(role.slice(0, 80))}; ${expected}`)
}
