import { Problem } from '../errors.ts'

/**
 * Makes sure that an address belongs to nobody: its domain is one of `reserved` or below one. The suffix is compared by
 * labels, so that `example.com.evil.org` is not taken for `example.com`. Throws `domain_not_reserved`, at `path`.
 */
export function requireReservedDomain(email: string, reserved: string[], path: string): void {
  const domain = email.slice(email.lastIndexOf('@') + 1).toLowerCase()
  if (reserved.some((each) => domain === each || domain.endsWith(`.${each}`))) return
  const message = `${domain} could belong to somebody. Use one of ${reserved.join(', ')}, or a domain below them.`
  throw new Problem('domain_not_reserved', message, { errors: [{ path, code: 'domain_not_reserved', message }] })
}
