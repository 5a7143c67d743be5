import type { ISql } from 'postgres'
import { Problem } from '../errors.ts'
import { EMAIL_FORM, isReserved } from '../users/reserved-domain.ts'

/** Addresses that need no further look. The others are few, and are checked by the one rule for addresses. */
const PLAIN_ADDRESS = "^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)*$"

/**
 * Makes sure that the staged users are test users with addresses of reserved domains, as an import demands. Throws
 * `export_invalid`, `domain_not_reserved`.
 */
export async function requireTestUsers(tx: ISql, reservedDomains: string[]): Promise<void> {
  const [other] = await tx`select from staged_users where not is_test_user limit 1`
  if (other) {
    throw new Problem(
      'export_invalid',
      'The export has users that are not test users, and the pool is a replica of test users. Nothing was changed.',
    )
  }
  for await (const rows of tx<{ email: string }[]>`
    select email from staged_users where email !~ ${PLAIN_ADDRESS}`.cursor(1_000)) {
    if (rows.some(({ email }) => !EMAIL_FORM.test(email))) {
      throw new Problem('export_invalid', 'The export has an email that is not one address. Nothing was changed.')
    }
  }
  const domains = await tx<{ domain: string }[]>`
    select distinct lower(substring(email from '[^@]*$')) as domain from staged_users`
  const refused = domains.find(({ domain }) => !isReserved(domain, reservedDomains))
  if (refused) {
    const reserved = reservedDomains.join(', ')
    throw new Problem(
      'domain_not_reserved',
      `The domain ${refused.domain.slice(0, 253)} could belong to somebody. A replica of test users takes ${reserved}, and domains below them.`,
    )
  }
}
