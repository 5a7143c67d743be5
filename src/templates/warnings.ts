import type { BatchConfig } from '../batches/batch-config.ts'
import type { MemberFault } from '../errors.ts'

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
