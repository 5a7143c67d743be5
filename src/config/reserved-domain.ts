import { domainToASCII } from 'node:url'
import { Problem } from '../errors.ts'

/** What mail programs take for the end of an address, or for the beginning of another. */
const BETWEEN_ADDRESSES = '\\s,;<>\\x00-\\x1f\\x7f-\\x9f'
const LABEL = `[^@.${BETWEEN_ADDRESSES}]+`

/** What can be read as one address alone, so that its domain tells whose it is. */
export const EMAIL_FORM = new RegExp(`^[^@${BETWEEN_ADDRESSES}]+@${LABEL}(\\.${LABEL})*$`)

/** The part of an address after the @. */
export const DOMAIN_FORM = new RegExp(`^${LABEL}(\\.${LABEL})*$`)

export const DOMAIN_EXPECTED =
  'a domain like example.com or bücher.example, without white space, control characters and @ , ; < >'

/** What an address has to be, for those who are told that theirs is none. */
export const EMAIL_EXPECTED = 'one address like a@example.com, without white space, control characters and , ; < >'

/**
 * Whether an address belongs to nobody: its domain is one of `reserved` or below one. The suffix is compared by labels, so
 * that `example.com.evil.org` is not taken for `example.com`. Domains are compared as DNS has them (RFC 5891): `bücher.example` is
 * `xn--bcher-kva.example`. An address itself stays as it is written.
 */
export function isReserved(email: string, reserved: string[]): boolean {
  const domain = asciiDomain(domainOf(email))
  return reserved.some((each) => domain === each || domain.endsWith(`.${each}`))
}

/** Makes sure that an address belongs to nobody, see `isReserved`. Throws `domain_not_reserved`, at `path`. */
export function requireReservedDomain(email: string, reserved: string[], path: string): void {
  if (isReserved(email, reserved)) return
  const message = `${domainOf(email)} could belong to somebody. Use one of ${reserved.join(', ')}, or a domain below them.`
  throw new Problem('domain_not_reserved', message, { errors: [{ path, code: 'domain_not_reserved', message }] })
}

const domainOf = (email: string) => email.slice(email.lastIndexOf('@') + 1)

/** A domain as DNS has it, in lower case; empty where it is none. `domainToASCII` reads a URL's host, and would cut off a path. */
export function asciiDomain(domain: string): string {
  if (/^[\0-\x7f]*$/.test(domain)) return domain.toLowerCase()
  return /[/\\?#%]/.test(domain) ? '' : domainToASCII(domain)
}
