import { type BatchConfig, type BatchConfigBody, completeConfig } from '../batches/batch-config.ts'
import { planNames } from '../batches/plan.ts'
import type { Config } from '../config.ts'
import { checkStorable } from './check-storable.ts'
import { memberReader } from './read-members.ts'
import { templateConfigBody } from './template-schema.ts'

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
