import { planNames } from '../../src/batches/naming.ts'
import { domains } from '../../src/config/parse.ts'
import { DOMAIN_FORM, isReserved } from '../../src/config/reserved-domain.ts'
import { checkRow, givenRow } from '../../src/import/row.ts'
import { suite } from '../suite.ts'

const t = suite()

const RESERVED = domains('test,Bücher.example,example.com')

/** Email domains, and whether they are reserved. */
const TABLE: [domain: string, isReserved: boolean][] = [
  ['bücher.example', true],
  ['BÜCHER.example', true],
  ['xn--bcher-kva.example', true],
  ['XN--BCHER-KVA.Example', true],
  ['a.bücher.example', true],
  ['münchen.test', true],
  ['ü.example.com', true],
  ['bucher.example', false],
  ['bücher.example.org', false],
  ['xbücher.example', false],
  ['example', false],
  ['gmail.com\uff0ftest', false],
  ['gmail.com\u3002example', false],
  ['ü/x.test', false],
  ['evil.org/ü.test', false],
  ['evil.org%2fü.test', false],
  ['evil.org#ü.test', false],
  ['evil.org\\ü.test', false],
  ['ü.org\u200d.test', false],
]

t.test('every way to set an email address uses the same rule for domains', (t) => {
  for (const [domain, expected] of TABLE) {
    const email = `a@${domain}`
    t.equal(isReserved(email, RESERVED), expected, domain)
    const row = checkRow(1, givenRow(JSON.stringify({ username: email })), RESERVED)
    t.equal('code' in row ? row.code : 'accepted', expected ? 'accepted' : 'domain_not_reserved', `import: ${domain}`)
    for (const [pattern, emailDomain] of [
      [`u{id}@${domain}`, 'example.com'],
      ['u{id}', domain],
    ] as const) {
      const plan = () =>
        planNames(
          { pattern, longestPattern: pattern, emailDomain, count: 2 },
          { shortId: '0123456789', firstNumber: 1 },
          RESERVED,
        )
      if (expected) t.match(plan(), { emailSuffix: pattern === 'u{id}' ? `@${domain}` : '' }, pattern)
      else t.throws(plan, { code: 'domain_not_reserved' }, pattern)
    }
    t.match(domain, DOMAIN_FORM, `email_domain: ${domain}`)
  }
  for (const text of ['', 'a..b', '.a', 'a b.test', 'a,b', 'a@b.test']) t.notMatch(text, DOMAIN_FORM, text)
  t.end()
})
