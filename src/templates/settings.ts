import { Ajv } from 'ajv'
import type { Sql } from 'postgres'
import type { TSchema } from 'typebox'
import { type BatchConfig, type BatchConfigBody, batchConfigBody, completeConfig } from '../batches/batch-config.ts'
import { planNames } from '../batches/naming.ts'
import type { Config } from '../config/config.ts'
import { type MemberFault, MOST_FAULTS, Problem } from '../errors.ts'
import { memberFault } from '../http/error-responses.ts'
import { holdsNul } from '../http/validation.ts'
import { type TemplateSettings, templateConfigBody } from './template-schema.ts'
import { readTemplate } from './templates.ts'

/** Where a request has the settings. */
export const PLACE = 'body.config'

/** Settings that cannot be taken as they are, told as any bad input is. */
export const invalidSettings = (errors: MemberFault[]) =>
  new Problem('invalid_request', errors.map(({ path, message }) => `${path} ${message}`).join('; '), { errors })

/** The schemas are the service's own: to hold them against JSON Schema's, which is compiled first, takes 0.1 s of each start. */
const ajv = new Ajv({ allErrors: true, verbose: true, strict: false, validateSchema: false })

/** Makes what reads a value as a request's `config` is read; it throws `invalid_request` with every faulty member. */
export function memberReader(schema: TSchema): (value: unknown) => BatchConfigBody {
  const validate = ajv.compile<BatchConfigBody>(schema)
  return (value) => {
    if (validate(value)) return value
    throw invalidSettings((validate.errors ?? []).slice(0, MOST_FAULTS).map((fault) => memberFault(fault, PLACE)))
  }
}

/** Gives what the check gives, or the faults for which it throws, told as of `place`. Throws what is no fault of input. */
export function attempt<Value>(
  check: () => Value,
  place = PLACE,
): { value: Value; errors: [] } | { value: undefined; errors: MemberFault[] } {
  try {
    return { value: check(), errors: [] }
  } catch (error) {
    if (!(error instanceof Problem) || !error.errors) throw error
    const errors = error.errors.map((fault) => ({ ...fault, path: fault.path.replace(PLACE, place) }))
    return { value: undefined, errors }
  }
}

/** The most bytes of settings, as JSON, so that all templates of a pool can be listed in one answer. */
const MOST_BYTES = 65_536

/** Throws `invalid_request` where the database would not take the value, or it is larger than settings may be. */
export function checkStorable(value: unknown): void {
  if (holdsNul(value)) {
    throw invalidSettings([{ path: PLACE, code: 'unstorable', message: 'holds U+0000, which cannot be stored' }])
  }
  if (Buffer.byteLength(JSON.stringify(value)) > MOST_BYTES) {
    throw invalidSettings([{ path: PLACE, code: 'too_large', message: `takes more than ${MOST_BYTES} bytes` }])
  }
}

/**
 * The template's settings, each replaced by the request's where it gives one. The password's hash is settled member by
 * member too; custom attributes are one setting, so that a request can also take some away.
 */
export function overlay(template: TemplateSettings, given: BatchConfigBody): BatchConfigBody {
  return { ...template, ...given, password_hash: { ...template.password_hash, ...given.password_hash } }
}

/**
 * Gives the settings that a request asks for by a template and its own `config` over it. They are read again as a whole:
 * a template may be older than the service's limits. Throws `template_not_found` and `invalid_request`.
 */
export function templateReader(sql: Sql, config: Config) {
  const readMembers = memberReader(batchConfigBody(config))
  return async (poolId: number, name: string, given: BatchConfigBody): Promise<BatchConfigBody> =>
    readMembers(overlay((await readTemplate(sql, poolId, name)).config, given))
}

/** The fewest users that could be made so: two whose names must differ, and one for each hash. */
const fewest = (distinct = 0, { maxBatchUsers }: Config) => Math.min(Math.max(2, distinct), maxBatchUsers)

/**
 * The settings as a batch of the fewest users would have them; the password apart, undefined where none is given. Throws
 * `invalid_request` where they contradict each other.
 */
export const completed = (given: BatchConfigBody, config: Config) =>
  completeConfig(given, fewest(given.password_hash?.distinct, config), config)

/** Throws `pattern_invalid` and `domain_not_reserved` where no users can be made of the settings. */
export function checkNames(settings: BatchConfig, config: Config): void {
  const { username_pattern: pattern, email_domain: emailDomain, password_hash: hash } = settings
  const names = { pattern, emailDomain, count: fewest(hash.distinct, config) }
  planNames(names, { shortId: '0123456789', firstNumber: 1 }, config.reservedDomains)
}

/**
 * Makes the check that settings pass before they are kept as a template, so that batches can be made from it. It gives
 * them as they are, and throws `invalid_request` and what `checkNames` throws.
 */
export function settingsCheck(config: Config): (value: unknown) => BatchConfigBody {
  const readMembers = memberReader(templateConfigBody(config))
  return (value) => {
    checkStorable(value)
    const given = readMembers(value)
    checkNames(completed(given, config).settings, config)
    return given
  }
}

const ROLES = ['user', 'admin', 'moderator', 'test']

/** What is allowed in settings, but perhaps not meant. The password is judged, and never told. */
export function warningsOf(settings: BatchConfig, password: string | undefined): MemberFault[] {
  const warnings: MemberFault[] = []
  const warn = (member: string, code: string, message: string) =>
    warnings.push({ path: `body.config.${member}`, code, message })

  if (/\{n\}/.test(settings.username_pattern) && !/\{(id|batch)\}/.test(settings.username_pattern)) {
    warn('username_pattern', 'not_repeatable', 'has {n} alone, so a second batch would meet the names of the first')
  }
  if (!ROLES.includes(settings.role)) {
    warn('role', 'role_unusual', `is none of ${ROLES.join(', ')}`)
  }
  if (password !== undefined && isWeak(password)) {
    const message =
      'should have 8 characters, an upper-case and a lower-case letter, a digit, and none six times in a row'
    warn('password', 'password_weak', message)
  }
  return warnings
}

const isWeak = (password: string) =>
  password.length < 8 || ![/\p{Lu}/u, /\p{Ll}/u, /\d/].every((kind) => kind.test(password)) || /(.)\1{5}/.test(password)

/** What there is to say of settings. `config` is without the password; null where a member cannot be read. */
export interface Verdict {
  is_valid: boolean
  errors: MemberFault[]
  warnings: MemberFault[]
  config: BatchConfig | null
}

/** Makes what judges the settings of a batch, its password among them, without writing or telling any. */
export function settingsValidator(config: Config): (value: unknown) => Verdict {
  const readMembers = memberReader(batchConfigBody(config))
  return (value) => {
    const read = attempt(() => {
      checkStorable(value)
      return completed(readMembers(value), config)
    })
    if (read.value === undefined) return { is_valid: false, errors: read.errors, warnings: [], config: null }
    const { settings, password } = read.value
    const { errors } = attempt(() => checkNames(settings, config))
    return { is_valid: errors.length === 0, errors, warnings: warningsOf(settings, password), config: settings }
  }
}
