import { domainToASCII } from 'node:url'
import { Problem } from '../errors.ts'

/** Characters at which mail programs end an address or start another one. */
const BETWEEN_ADDRESSES = '\\s,;<>\\x00-\\x1f\\x7f-\\x9f'
const LABEL = `[^@.${BETWEEN_ADDRESSES}]+`

/** A text that can only be read as one address, so that its domain is unambiguous. */
export const EMAIL_FORM = new RegExp(`^[^@${BETWEEN_ADDRESSES}]+@${LABEL}(\\.${LABEL})*$`)

/** The part of an address after the @. */
export const DOMAIN_FORM = new RegExp(`^${LABEL}(\\.${LABEL})*$`)

export const DOMAIN_EXPECTED =
  'a domain like example.com or bücher.example, without white space, control characters and @ , ; < >'

/** Describes a valid address, for error messages. */
export const EMAIL_EXPECTED = 'one address like a@example.com, without white space, control characters and , ; < >'

/**
 * Whether an address can belong to no real person: its domain is in `reserved`, or below one of these. Domains are compared by labels, so
 * `example.com.evil.org` does not match `example.com`, and in their DNS form (RFC 5891): `bücher.example` is
 * `xn--bcher-kva.example`. The address itself stays unchanged.
 */
export function isReserved(email: string, reserved: string[]): boolean {
  const domain = asciiDomain(domainOf(email))
  return reserved.some((each) => domain === each || domain.endsWith(`.${each}`))
}

/** Checks that the domain of an address is reserved, see `isReserved`. Throws `domain_not_reserved` for the member at `path`. */
export function requireReservedDomain(email: string, reserved: string[], path: string): void {
  if (isReserved(email, reserved)) return
  const message = `${domainOf(email)} could be a real domain. Use one of ${reserved.join(', ')}, or a domain below them.`
  throw new Problem('domain_not_reserved', message, { errors: [{ path, code: 'domain_not_reserved', message }] })
}

const domainOf = (email: string) => email.slice(email.lastIndexOf('@') + 1)

/** The DNS form of a domain, in lower case. Empty if invalid. `domainToASCII` parses a URL host, and would cut off a path. */
export function asciiDomain(domain: string): string {
  if (/^[\0-\x7f]*$/.test(domain)) return domain.toLowerCase()
  return /[/\\?#%]/.test(domain) ? '' : domainToASCII(domain)
}
