import type { Sql } from 'postgres'
import { type BatchConfig, type BatchConfigBody, batchConfigBody, DEFAULT_USERS } from '../batches/batch-config.ts'
import { batchCost } from '../batches/batch-cost.ts'
import { type CompleteConfig, completeConfig } from '../batches/complete-config.ts'
import { planNames } from '../batches/naming.ts'
import type { Config } from '../config/config.ts'
import { type FieldError, invalidRequest, Problem } from '../errors.ts'
import { schemaReader } from '../http/field-errors.ts'
import { holdsNul } from '../http/validation.ts'
import { type TemplateSettings, templateConfigBody } from './template-schema.ts'
import { readTemplate } from './templates.ts'

/** Path of the settings in a request. */
export const PLACE = 'body.config'

/** Returns the result of the check, or the faults that it throws, with paths below `place`. Rethrows other errors. */
export function attempt<Value>(
  check: () => Value,
  place = PLACE,
): { value: Value; errors: [] } | { value: undefined; errors: FieldError[] } {
  try {
    return { value: check(), errors: [] }
  } catch (error) {
    if (!(error instanceof Problem) || !error.errors) throw error
    const errors = error.errors.map((fault) => ({ ...fault, path: fault.path.replace(PLACE, place) }))
    return { value: undefined, errors }
  }
}

/** Maximum size of settings as JSON, so that one response can list all templates of a pool. */
const MAX_BYTES = 65_536

/** Throws `invalid_request` if the database cannot store the value, or if the value is too large. */
export function checkStorable(value: unknown): void {
  if (holdsNul(value)) {
    throw invalidRequest([{ path: PLACE, code: 'unstorable', message: 'contains U+0000, which cannot be stored' }])
  }
  if (Buffer.byteLength(JSON.stringify(value)) > MAX_BYTES) {
    throw invalidRequest([{ path: PLACE, code: 'too_large', message: `is larger than ${MAX_BYTES} bytes` }])
  }
}

/**
 * Returns the template's settings, overridden by the settings of the request. The members of `password_hash` are merged one by one; but
 * of the template only `distinct` stays if the request names an algorithm or a preset. Custom attributes are replaced as a whole, so
 * that a request can also remove some.
 */
export function overlay(template: TemplateSettings, given: BatchConfigBody): BatchConfigBody {
  if (template === DEFAULT_USERS && given.epoch !== undefined) return given // the default pattern has {id}
  const { distinct, ...options } = template.password_hash ?? {}
  const { algorithm, preset } = given.password_hash ?? {}
  const kept = { ...(algorithm || preset ? {} : options), ...(distinct !== undefined && { distinct }) }
  return { ...template, ...given, password_hash: { ...kept, ...given.password_hash } }
}

/**
 * Returns a function that reads a template, overridden by the `config` of a request. It validates the result as a
 * whole, because a template may be older than the current limits. It throws `template_not_found` and `invalid_request`.
 */
export function templateReader(sql: Sql, config: Config) {
  const readMembers = schemaReader(batchConfigBody(config), PLACE)
  return async (poolId: number, name: string, given: BatchConfigBody): Promise<BatchConfigBody> =>
    readMembers(overlay((await readTemplate(sql, poolId, name)).config, given))
}

/** The smallest possible batch: two users, whose names must differ, and one user for each password hash. */
const fewest = (distinct = 0, { maxBatchUsers }: Config) => Math.min(Math.max(2, distinct), maxBatchUsers)

/**
 * Returns the settings of the smallest possible batch, and the password separately, undefined if there is none. Throws
 * `invalid_request` if settings contradict each other.
 */
export const completed = (given: BatchConfigBody, config: Config) =>
  completeConfig(given, fewest(given.password_hash?.distinct, config), config)

/** Throws `pattern_invalid` or `domain_not_reserved` if the settings cannot produce users. */
function checkNames({ settings, users }: CompleteConfig, config: Config): void {
  const { username_pattern: pattern, email_domain: emailDomain, password_hash: hash } = settings
  const count = fewest(hash.distinct, config)
  planNames(
    { pattern, longestPattern: users.longestUsernamePattern, emailDomain, count },
    { shortId: '0123456789', firstNumber: 1 },
    config.reservedDomains,
  )
}

/**
 * Returns the check that settings must pass before they are stored as a template, so that a batch can be created from
 * it. The check returns the settings unchanged. It throws `invalid_request` and what `checkNames` throws.
 */
export function settingsCheck(config: Config): (value: unknown) => BatchConfigBody {
  const readMembers = schemaReader(templateConfigBody(config), PLACE)
  return (value) => {
    checkStorable(value)
    const given = readMembers(value)
    checkNames(completed(given, config), config)
    return given
  }
}

/** Estimated time for all hashes of a batch, above which a warning names it. */
const LONG_HASHING_SECONDS = 60

const ROLES = ['user', 'admin', 'moderator', 'test']

/** Returns warnings about valid but suspicious settings. They never contain the password. */
export function warningsOf(settings: BatchConfig, password: string | undefined): FieldError[] {
  const warnings: FieldError[] = []
  const warn = (member: string, code: string, message: string) =>
    warnings.push({ path: `body.config.${member}`, code, message })

  if (/\{n\}/.test(settings.username_pattern) && !/\{(id|batch)\}/.test(settings.username_pattern)) {
    warn('username_pattern', 'not_repeatable', 'has only {n}, so a second batch would produce the same usernames')
  }
  if (typeof settings.role === 'string' && !ROLES.includes(settings.role)) {
    warn('role', 'role_unusual', `is not one of ${ROLES.join(', ')}`)
  }
  if (password !== undefined && isWeak(password)) {
    const message =
      'should have at least 8 characters, with an upper-case letter, a lower-case letter and a digit, and no character six times in a row'
    warn('password', 'password_weak', message)
  }
  const { hashing } = batchCost(settings, settings.password_hash.distinct, 0)
  const seconds = Math.ceil(hashing / settings.max_workers / 1000)
  if (seconds > LONG_HASHING_SECONDS) {
    const { password_hash: hash, max_workers } = settings
    const message = `takes about ${seconds} s for ${hash.distinct} hashes on ${max_workers} cores before the first user exists. Lower distinct or the costs`
    warn('password_hash', 'hashing_slow', message)
  }
  return warnings
}

const isWeak = (password: string) =>
  password.length < 8 || ![/\p{Lu}/u, /\p{Ll}/u, /\d/].every((kind) => kind.test(password)) || /(.)\1{5}/.test(password)

/** The result of a validation. `config` has no password; null if a member cannot be read. */
export interface Verdict {
  is_valid: boolean
  errors: FieldError[]
  warnings: FieldError[]
  config: BatchConfig | null
}

/**
 * Returns a function that validates the settings of a batch, its password included. It stores nothing and never returns
 * the password.
 */
export function settingsValidator(config: Config): (value: unknown) => Verdict {
  const readMembers = schemaReader(batchConfigBody(config), PLACE)
  return (value) => {
    const read = attempt(() => {
      checkStorable(value)
      return completed(readMembers(value), config)
    })
    if (read.value === undefined) return { is_valid: false, errors: read.errors, warnings: [], config: null }
    const { settings, password } = read.value
    const { errors } = attempt(() => checkNames(read.value, config))
    return { is_valid: errors.length === 0, errors, warnings: warningsOf(settings, password), config: settings }
  }
}
