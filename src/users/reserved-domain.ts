import { Problem } from '../errors.ts'

/** What mail programs take for the end of an address, or for the beginning of another. */
const BETWEEN_ADDRESSES = '\\s,;<>\\x00-\\x1f\\x7f-\\x9f'
const LABEL = `[^@.${BETWEEN_ADDRESSES}]+`

/** What can be read as one address alone, so that its domain tells whose it is. */
export const EMAIL_FORM = new RegExp(`^[^@${BETWEEN_ADDRESSES}]+@${LABEL}(\\.${LABEL})*$`)

/** What an address has to be, for those who are told that theirs is none. */
export const EMAIL_EXPECTED = 'one address like a@example.com, without white space, control characters and , ; < >'

/**
 * Whether an address belongs to nobody: its domain is one of `reserved` or below one. The suffix is compared by labels, so
 * that `example.com.evil.org` is not taken for `example.com`.
 */
export function isReserved(email: string, reserved: string[]): boolean {
  const domain = domainOf(email)
  return reserved.some((each) => domain === each || domain.endsWith(`.${each}`))
}

/** Makes sure that an address belongs to nobody, see `isReserved`. Throws `domain_not_reserved`, at `path`. */
export function requireReservedDomain(email: string, reserved: string[], path: string): void {
  if (isReserved(email, reserved)) return
  const message = `${domainOf(email)} could belong to somebody. Use one of ${reserved.join(', ')}, or a domain below them.`
  throw new Problem('domain_not_reserved', message, { errors: [{ path, code: 'domain_not_reserved', message }] })
}

const domainOf = (email: string) => email.slice(email.lastIndexOf('@') + 1).toLowerCase()
