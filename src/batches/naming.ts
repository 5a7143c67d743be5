import { randomBytes } from 'node:crypto'
import { Problem } from '../errors.ts'
import { EMAIL_EXPECTED, EMAIL_FORM, requireReservedDomain } from '../users/reserved-domain.ts'

/** How the users of a batch are named. Fixed when the batch is created, so that every worker makes the same names. */
export interface NamePlan {
  /** With `{batch}` filled in; the inserting statement fills in `{id}` and `{n}`. */
  usernamePattern: string
  /** What follows the username in the email: nothing, or `@domain`. */
  emailSuffix: string
}

const PLACEHOLDERS = ['id', 'n', 'batch']
/** 1 next to 21 reads like 12 next to 1: two batches with one pattern could collide. */
const SIDE_BY_SIDE = /\{id\}(\d|\{batch\})*\{n\}|\{n\}(\d|\{batch\})*\{id\}/
const LONGEST_NAME = 254

const invalidPattern = (message: string) =>
  new Problem('pattern_invalid', message, {
    errors: [{ path: 'body.config.username_pattern', code: 'pattern_invalid', message }],
  })

/** Fills in the placeholders, as the inserting statement does in SQL. */
export const fillPattern = (pattern: string, number: number, n: number) =>
  pattern.replaceAll('{id}', String(number)).replaceAll('{n}', String(n))

/**
 * Plans the names of a batch's `count` users, with `{id}` starting at `firstNumber`. Throws `pattern_invalid` if the pattern
 * names an unknown placeholder, cannot tell two users apart, or makes a name that is too long, and `domain_not_reserved` if
 * the domain of the addresses is neither one of `reservedDomains` nor below one.
 */
export function planNames(
  request: { pattern: string; emailDomain: string; count: number },
  batch: { shortId: string; firstNumber: number },
  reservedDomains: string[],
): NamePlan {
  const { pattern, emailDomain, count } = request
  for (const [, name = ''] of pattern.matchAll(/\{([^{}]*)\}/g)) {
    if (!PLACEHOLDERS.includes(name)) throw invalidPattern(`knows {id}, {n} and {batch}, but not {${name}}`)
  }
  if (count > 1 && !pattern.includes('{id}') && !pattern.includes('{n}')) {
    throw invalidPattern('needs {id} or {n}, or all users would have one name')
  }
  if (SIDE_BY_SIDE.test(pattern)) {
    throw invalidPattern('needs more than digits between {id} and {n}, or two users’ numbers could read the same')
  }
  const usernamePattern = pattern.replaceAll('{batch}', batch.shortId)
  const longest = fillPattern(usernamePattern, batch.firstNumber + count - 1, count)
  const emailSuffix = EMAIL_FORM.test(longest) ? '' : `@${emailDomain}`
  const email = longest + emailSuffix
  if ([...email].length > LONGEST_NAME) {
    throw invalidPattern(`makes an address of ${[...email].length} characters; the longest is ${LONGEST_NAME}`)
  }
  if (!EMAIL_FORM.test(email))
    throw invalidPattern(`makes usernames that cannot stand before an @: it takes ${EMAIL_EXPECTED}`)
  const path = `body.config.${emailSuffix === '' ? 'username_pattern' : 'email_domain'}`
  requireReservedDomain(email, reservedDomains, path)
  return { usernamePattern, emailSuffix }
}

/**
 * A new batch's id and those of its users: UUIDv7 (RFC 9562) of the present millisecond and 40 random bits, whose last 32
 * bits count: 0 is the batch, n is its user n. So ids follow the order of creation, and inserts go to one end of the index.
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
