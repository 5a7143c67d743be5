import { randomBytes } from 'node:crypto'
import { EMAIL_EXPECTED, EMAIL_FORM, requireReservedDomain } from '../config/reserved-domain.ts'
import { Problem } from '../errors.ts'

/** How a batch names its users. Fixed when the batch is created, so that all workers produce the same names. */
export interface NamePlan {
  /** The pattern with `{batch}` filled in. The INSERT statement fills in `{id}` and `{n}`. */
  usernamePattern: string
  /** What follows the username in the email: nothing, or `@domain`. */
  emailSuffix: string
}

/** Rejected because 1 next to 21 looks the same as 12 next to 1: two batches with one pattern could collide. */
const SIDE_BY_SIDE = /\{id\}(\d|\{batch\})*\{n\}|\{n\}(\d|\{batch\})*\{id\}/
const MAX_NAME_LENGTH = 254

const invalidPattern = (message: string) =>
  new Problem('pattern_invalid', message, {
    errors: [{ path: 'body.config.username_pattern', code: 'pattern_invalid', message }],
  })

/** Fills in the placeholders, as the INSERT statement does in SQL. */
export const fillPattern = (pattern: string, number: number, n: number) =>
  pattern.replaceAll('{id}', String(number)).replaceAll('{n}', String(n))

/**
 * Plans the names of a batch's `count` users, with `{id}` starting at `firstNumber`. `longestPattern` is the pattern with
 * the longest text of each attribute in it. Throws `pattern_invalid` if the pattern cannot tell two users apart, or makes
 * a name that is too long, and `domain_not_reserved` if the domain of the addresses is neither one of `reservedDomains`
 * nor below one.
 */
export function planNames(
  request: { pattern: string; longestPattern: string; emailDomain: string; count: number },
  batch: { shortId: string; firstNumber: number },
  reservedDomains: string[],
): NamePlan {
  const { pattern, longestPattern, emailDomain, count } = request
  if (count > 1 && !pattern.includes('{id}') && !pattern.includes('{n}')) {
    throw invalidPattern('needs {id} or {n}; otherwise all users would have the same name')
  }
  if (SIDE_BY_SIDE.test(pattern)) {
    throw invalidPattern('needs more than digits between {id} and {n}; otherwise two users could have the same name')
  }
  const usernamePattern = pattern.replaceAll('{batch}', batch.shortId)
  const longest = fillPattern(longestPattern.replaceAll('{batch}', batch.shortId), batch.firstNumber + count - 1, count)
  const emailSuffix = EMAIL_FORM.test(longest) ? '' : `@${emailDomain}`
  const email = longest + emailSuffix
  if ([...email].length > MAX_NAME_LENGTH) {
    throw invalidPattern(`produces an address of ${[...email].length} characters; the maximum is ${MAX_NAME_LENGTH}`)
  }
  if (!EMAIL_FORM.test(email))
    throw invalidPattern(`produces usernames that cannot precede an @: expects ${EMAIL_EXPECTED}`)
  const path = `body.config.${emailSuffix === '' ? 'username_pattern' : 'email_domain'}`
  requireReservedDomain(email, reservedDomains, path)
  return { usernamePattern, emailSuffix }
}

/**
 * Returns the id of a new batch and of its users: UUIDv7 (RFC 9562) of the current millisecond and 40 random bits. The
 * last 32 bits are a counter: 0 for the batch, n for its user n. So ids follow the order of creation, and inserts go to
 * one end of the index.
 */
export function makeIds(
  now = Date.now(),
  random = randomBytes(5),
): { batchId: string; userIdPrefix: string; shortId: string } {
  const time = now.toString(16).padStart(12, '0')
  const shortId = random.toString('hex')
  const [a, b, c] = [shortId.slice(0, 3), shortId.slice(3, 6), shortId.slice(6)]
  const userIdPrefix = `${time.slice(0, 8)}-${time.slice(8)}-7${a}-8${b}-${c}`
  return { batchId: `${userIdPrefix}00000000`, userIdPrefix, shortId }
}
