import { Problem } from '../errors.ts'

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
