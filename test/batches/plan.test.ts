import fc from 'fast-check'
import { fillPattern, makeIds, planNames } from '../../src/batches/naming.ts'
import { Problem } from '../../src/errors.ts'
import { suite } from '../suite.ts'

const t = suite()

const DOMAINS = ['test', 'example.com']

interface Request {
  pattern: string
  emailDomain?: string
  count?: number
  firstNumber?: number
}

const plan = ({ pattern, emailDomain = 'example.com', count = 10, firstNumber = 1 }: Request) =>
  planNames({ pattern, longestPattern: pattern, emailDomain, count }, { shortId: '0123456789', firstNumber }, DOMAINS)

/** The names of all users of a batch. */
function namesOf({ count = 10, firstNumber = 1, ...request }: Request) {
  const { usernamePattern, emailSuffix } = plan({ count, firstNumber, ...request })
  return Array.from({ length: count }, (_, i) => {
    const username = fillPattern(usernamePattern, firstNumber + i, i + 1)
    return { username, email: username + emailSuffix }
  })
}

/** The code and message of the problem that a request is rejected with. */
function refusal(request: Request): { code: string; message: string } | undefined {
  try {
    plan(request)
    return undefined
  } catch (error) {
    if (error instanceof Problem) return { code: error.code, message: error.message }
    throw error
  }
}

const count = fc.integer({ min: 1, max: 300 })
const firstNumber = fc.integer({ min: 1, max: 2 ** 50 })
const plainText = fc.stringMatching(/^[a-z0-9._{}-]{0,8}$/).map((text) => text.replace(/[{}]/g, ''))
const placeholder = fc.constantFrom('{id}', '{n}', '{batch}')
const pattern = fc
  .array(fc.tuple(plainText, placeholder), { minLength: 1, maxLength: 3 })
  .chain((parts) => fc.constantFrom('', '@example.com', '@{n}.test').map((end) => `u${parts.flat().join('')}${end}`))
  .filter((text) => refusal({ pattern: text, count: 1 }) === undefined)

t.test('the names of a batch are unique, fit, and stay within the reserved domains', (t) => {
  fc.assert(
    fc.property(pattern, count, firstNumber, (pattern, count, firstNumber) => {
      fc.pre(/\{(id|n)\}/.test(pattern))
      const names = namesOf({ pattern, count, firstNumber })
      return (
        new Set(names.map(({ username }) => username)).size === count &&
        new Set(names.map(({ email }) => email)).size === count &&
        names.every(({ username, email }) => username.length <= 254 && email.length <= 254) &&
        names.every(({ email }) => /^[^@\s]+@([^@]+\.)?(test|example\.com)$/.test(email))
      )
    }),
  )
  t.end()
})

t.test('two batches with the same pattern with {id} never collide', (t) => {
  fc.assert(
    fc.property(pattern, count, count, (pattern, first, second) => {
      fc.pre(pattern.includes('{id}'))
      const names = [
        ...namesOf({ pattern, count: first, firstNumber: 1 }),
        ...namesOf({ pattern, count: second, firstNumber: 1 + first }),
      ]
      return new Set(names.map(({ username }) => username)).size === first + second
    }),
  )
  t.end()
})

t.test('adjacent running numbers are rejected: 1 next to 21 reads like 12 next to 1', (t) => {
  for (const pattern of ['u{id}{n}', 'u{n}{id}', 'u{id}1{n}', 'u{n}{batch}{id}']) {
    t.match(refusal({ pattern, count: 2 }), { code: 'pattern_invalid', message: /between \{id\} and \{n\}/ }, pattern)
  }
  t.end()
})

t.test('every occurrence of a placeholder is filled in', (t) => {
  t.strictSame(namesOf({ pattern: '{id}-{n}-{batch}-{id}@a.test', count: 2, firstNumber: 41 }), [
    { username: '41-1-0123456789-41@a.test', email: '41-1-0123456789-41@a.test' },
    { username: '42-2-0123456789-42@a.test', email: '42-2-0123456789-42@a.test' },
  ])
  t.end()
})

t.test('a username in the form of an email address is the email; any other gets the domain', (t) => {
  t.match(plan({ pattern: 'u{id}@example.com' }), { emailSuffix: '' })
  t.match(plan({ pattern: 'u{id}@{n}.example.com' }), { emailSuffix: '' })
  t.match(plan({ pattern: 'u{id}', emailDomain: 'mail.test' }), { emailSuffix: '@mail.test' })
  t.match(plan({ pattern: 'ünïcode-{id}' }), { emailSuffix: '@example.com' })
  for (const pattern of ['u {id}', 'u{id}@', '@{id}\t', 'a\u00a0{id}']) {
    t.match(refusal({ pattern }), { code: 'pattern_invalid' }, JSON.stringify(pattern))
  }
  t.end()
})

t.test('a pattern for more than one user needs a running number', (t) => {
  t.match(refusal({ pattern: 'u{batch}', count: 2 }), { code: 'pattern_invalid', message: '{id}' })
  t.strictSame(namesOf({ pattern: 'admin', count: 1 }), [{ username: 'admin', email: 'admin@example.com' }])
  t.end()
})

t.test('a name can have at most 254 characters', (t) => {
  const end = '@example.com'
  const room = 254 - end.length
  for (const [count, digits] of [
    [9, 1],
    [10, 2],
    [1000, 4],
  ] as const) {
    const fitting = `${'x'.repeat(room - digits)}{n}`
    t.equal(refusal({ pattern: fitting + end, count }), undefined, `${count} addresses`)
    t.equal(refusal({ pattern: fitting, count }), undefined, `${count} usernames with their domain`)
    t.match(refusal({ pattern: `x${fitting}${end}`, count }), { code: 'pattern_invalid', message: '255' })
    t.match(refusal({ pattern: `x${fitting}`, count }), { code: 'pattern_invalid', message: '255' })
  }
  t.equal(
    refusal({ pattern: `${'😀'.repeat(room - 2)}{n}`, count: 10 }),
    undefined,
    'characters are counted as PostgreSQL counts them',
  )
  t.match(refusal({ pattern: `${'x'.repeat(room - 4)}{id}`, firstNumber: 99_999, count: 1 }), {
    code: 'pattern_invalid',
  })
  t.end()
})

t.test('only reserved domains and their subdomains are accepted', (t) => {
  const reserved = ['example.com', 'EXAMPLE.com', 'a.example.com', 'a.b-c.test', 'test']
  const foreign = [
    'gmail.com',
    'example.com.evil.org',
    'badexample.com',
    'contest',
    'com',
    'example.co',
    'example.com-x.de',
  ]
  for (const domain of reserved) {
    t.equal(refusal({ pattern: `u{id}@${domain}` }), undefined, domain)
    t.equal(refusal({ pattern: 'u{id}', emailDomain: domain }), undefined, domain)
  }
  for (const domain of foreign) {
    t.match(refusal({ pattern: `u{id}@${domain}` }), { code: 'domain_not_reserved' }, domain)
    t.match(refusal({ pattern: 'u{id}', emailDomain: domain }), { code: 'domain_not_reserved' }, domain)
  }
  t.match(refusal({ pattern: 'u@{id}' }), { code: 'domain_not_reserved' }, 'a numeric domain')
  t.ok(refusal({ pattern: 'u{id}@evil.org@example.com' }), 'two @')
  t.end()
})

t.test('ids are UUIDv7 in creation order, with the batch before its users', (t) => {
  const idOf = (prefix: string, n: number) => prefix + n.toString(16).padStart(8, '0')
  const time = fc.nat({ max: 2 ** 48 - 2 })
  const random = fc.uint8Array({ minLength: 5, maxLength: 5 }).map(Buffer.from)
  fc.assert(
    fc.property(time, random, random, fc.nat(99_999_999), (now, randomA, randomB, n) => {
      const { batchId, userIdPrefix, shortId } = makeIds(now, randomA)
      const later = makeIds(now + 1, randomB)
      const first = idOf(userIdPrefix, 1)
      const last = idOf(userIdPrefix, n + 2)
      const ids = [batchId, first, last, later.batchId]
      return (
        ids.every((id) => /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)) &&
        ids.every((id, i) => i === 0 || (ids[i - 1] ?? '') < id) &&
        Number.parseInt(batchId.replaceAll('-', '').slice(0, 12), 16) === now &&
        shortId === randomA.toString('hex')
      )
    }),
  )
  t.not(makeIds().batchId, makeIds().batchId)
  t.end()
})
