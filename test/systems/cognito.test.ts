import fc from 'fast-check'
import { cognito } from '../../src/systems/cognito.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { users, userWith } from './check-format.ts'

const t = suite()

const columns = cognito.head(undefined).trimEnd().split(',')

/** Reads a row by Cognito's rules: a comma ends a cell unless a backslash is before it, and nothing else is special. */
function read(row: string): Record<string, string> {
  if (/["\r\n]/.test(row)) throw new Error('quote or line end')
  const cells = row.split(/(?<!\\),/)
  if (cells.length !== columns.length) throw new Error(`${cells.length} cells`)
  return Object.fromEntries(columns.map((column, n) => [column, (cells[n] ?? '').replaceAll('\\,', ',')]))
}

t.test('the header has all columns of a user pool without custom attributes', (t) => {
  const needed = ['cognito:username', 'cognito:mfa_enabled', 'email', 'email_verified', 'phone_number_verified']
  t.equal(new Set(columns).size, 21)
  t.strictSame(
    needed.filter((name) => !columns.includes(name)),
    [],
  )
  t.end()
})

t.test('a row reads back as the user, or the user is refused', (t) => {
  let rows = 0
  fc.assert(
    fc.property(users, fc.stringMatching(/^[a-z,\\" ]{0,8}$/), (user, word) => {
      const username = user.username + word.trim()
      const rendering = cognito.render({ ...user, username })
      if ('refusal' in rendering) return rendering.refusal.code === 'value_invalid'
      rows++
      const [row = '', end, ...more] = cognito.write(rendering.rendered).split('\n')
      const cells = read(row)
      const { first = '', last = '' } = user.custom_attributes as { first?: string; last?: string }
      return (
        end === '' &&
        more.length === 0 &&
        cells['cognito:username'] === username &&
        cells['email'] === user.email &&
        cells['email_verified'] === 'true' &&
        cells['cognito:mfa_enabled'] === 'false' &&
        [first.trim(), user.custom_attributes['first_name'] ?? ''].includes(cells['given_name'] as string) &&
        [last.trim(), user.custom_attributes['last_name'] ?? ''].includes(cells['family_name'] as string)
      )
    }),
    { numRuns: sized(125, 500) },
  )
  t.ok(rows > sized(10, 80), `${rows} rows`) // a fourth of the users, and five standard deviations below
  t.end()
})

t.test('what Cognito cannot read is refused', (t) => {
  const refused = (username: string, custom_attributes = {}) => {
    const rendering = cognito.render(userWith({ username, custom_attributes }))
    return 'refusal' in rendering ? rendering.refusal.detail : undefined
  }
  t.equal(refused('a,b'), undefined)
  for (const username of ['a b', 'a\tb', 'a\u3000b']) t.match(refused(username), /username has a blank/, username)
  for (const username of ['a"b', 'a\\', 'a\u0001']) t.match(refused(username), /cognito:username has a quote/, username)
  t.match(refused('a', { first: 'a\nb' }), /given_name has a quote/)
  t.match(refused('a', { first: ','.repeat(8_000) }), /more than 16000 characters/)
  t.end()
})
