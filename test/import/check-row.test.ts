import { checkRow, givenRow } from '../../src/import/row.ts'
import { suite } from '../suite.ts'

const t = suite()

const check = (text: string) => checkRow(7, givenRow(text), ['test', 'example.com'])
const of = (members: object) => check(JSON.stringify({ username: 'a@example.com', ...members }))
const deep = (levels: number) => ({ custom_attributes: JSON.parse(`{"a":${'['.repeat(levels)}${']'.repeat(levels)}}`) })

/** Texts that could be read as a different email address than that of their last part. */
const NO_ADDRESSES = [
  'evil@gmail.com,x@example.com',
  'evil@gmail.com x@example.com',
  'evil@gmail.com@example.com',
  '@example.com',
  'a@',
  'a@.example.com',
  'a@sub..example.com',
  'a@example.com.',
  'a b\nc@.example.com',
  'a b@example.com',
  'a\u00a0b@example.com',
  'a\n@example.com',
  'evil,a@example.com',
  'evil;a@example.com',
  '<a@example.com',
  'a>@example.com',
  'a@evil.org>.example.com',
  'a\u0001@example.com',
  'a\u007f@example.com',
  'a\u0085@example.com',
]

t.test('valid rows are accepted', (t) => {
  const good: object[] = [
    {},
    { username: 'a', email: 'a@sub.example.com' },
    { id: '01890000-0000-7000-8000-00000000ABCD' },
    { username: '𝒳'.repeat(254), email: 'a@b.test' },
    { email: `${'𝒳'.repeat(200)}@sub.example.com` },
    { email: `a"b'(c)/=+!:\\{}[]-${'\u1234\u{41234}\u{101234}'}@A-1_ü.Example.COM` },
    { role: '𝒳'.repeat(64) },
    { batch_id: null, is_test_user: true, created_by_bulk: false },
    { custom_attributes: { '': '\u0001\u2028', n: 1e308, list: [[], {}] } },
    deep(98),
    { created_at: '0001-01-01T00:00:00Z', updated_at: '9999-12-31T23:59:59.999999Z' },
    { created_at: '2024-02-29t23:59:59.1234567z', updated_at: '9999-12-31T23:59:59.999999499Z' },
    { created_at: '2024-02-29T23:59:59.123456789+05:00' },
    { created_at: '2024-02-29T23:59:59.1+14:00', updated_at: '2000-02-29T00:00:00-00:00' },
  ]
  for (const [i, members] of good.entries()) t.hasProp(of(members), 'text', `row ${i}`)
  t.match(of({ id: '01890000-0000-7000-8000-00000000ABCD' }), {
    n: 7,
    id: '01890000-0000-7000-8000-00000000abcd',
    email: 'a@example.com',
  })
  for (const number of [
    '12345678901234567890123',
    '1.10',
    '1e-300',
    '5e-324',
    '1e-400',
    '1e308',
    `0.${'1'.repeat(900)}`,
  ]) {
    t.notOk('code' in check(`{"username":"a@b.test","custom_attributes":{"n":${number}}}`), number)
  }
  t.notOk(
    'code' in of({ custom_attributes: { text: `1e9999 ${'1'.repeat(5000)}` } }),
    'digits in texts are not numbers',
  )
  t.end()
})

t.test('an invalid row is reported with its code and member', (t) => {
  const invalid = (member: string) => ({ code: 'invalid_row', member })
  const table: [row: object | string, expected: object][] = [
    ['', invalid('')],
    ['{', invalid('')],
    ['[]', invalid('')],
    ['null', invalid('')],
    ['{}', invalid('username')],
    [{ username: undefined, email: 'a@b.test' }, invalid('username')],
    [{ username: '' }, invalid('username')],
    [{ username: 5 }, invalid('username')],
    [{ username: 'x'.repeat(255), email: 'a@b.test' }, invalid('username')],
    [{ username: 'a' }, invalid('email')],
    [{ email: 'localhost' }, invalid('email')],
    [{ email: null }, invalid('email')],
    ...NO_ADDRESSES.flatMap((text): [object, object][] => [
      [{ email: text }, invalid('email')],
      [
        { username: text, email: undefined },
        { ...invalid('email'), username: text },
      ],
    ]),
    ...[' ', '\t', ' a@b.test', 'a ', '\u00a0a', 'a\r\n', '\ufeffa'].flatMap((name): [object, object][] => [
      [{ username: name, email: 'a@b.test' }, invalid('username')],
      [{ role: name }, invalid('role')],
    ]),
    [{ email: 'a@example.com\n' }, invalid('email')],
    [{ role: '' }, invalid('role')],
    [{ role: 'x'.repeat(65) }, invalid('role')],
    [{ role: null }, invalid('role')],
    [{ id: '1' }, invalid('id')],
    [{ id: null }, invalid('id')],
    [{ id: '{01890000-0000-7000-8000-000000000000}' }, invalid('id')],
    [{ batch_id: 'x' }, invalid('batch_id')],
    [{ is_test_user: 'true' }, invalid('is_test_user')],
    [{ created_by_bulk: 1 }, invalid('created_by_bulk')],
    [{ custom_attributes: [] }, invalid('custom_attributes')],
    [{ custom_attributes: null }, invalid('custom_attributes')],
    [deep(101), invalid('')],
    [{ username: 'nul\u0000@b.test' }, invalid('')],
    [{ custom_attributes: { a: ['\u0000'] } }, invalid('')],
    [{ custom_attributes: { '\u0000': 1 } }, invalid('')],
    ['{"username":"a\\ud800@b.test"}', invalid('')],
    ['{"username":"a@b.test","custom_attributes":{"\\udc00":1}}', invalid('')],
    ...[
      '1e400',
      '-1e400',
      '1e-1000',
      '1e-99999',
      `1.${'1'.repeat(900)}e-200`,
      `0.${'1'.repeat(1001)}`,
      '1'.repeat(200_000),
    ].map((n): [string, object] => [`{"username":"a@b.test","custom_attributes":{"n":${n}}}`, invalid('')]),
    ...[
      '2024-01-01',
      '2024-01-01 00:00:00Z',
      '2024-01-01T00:00:00',
      '2023-02-29T00:00:00Z',
      '1900-02-29T00:00:00Z',
      '2024-04-31T00:00:00Z',
      '2024-13-01T00:00:00Z',
      '2024-01-01T24:00:00Z',
      '2024-01-01T00:00:60Z',
      '2024-01-01T00:00:00.1234567890Z',
      '9999-12-31T23:59:59.9999995Z',
      '2024-01-01T00:00:00+15:00',
      '0000-12-31T23:00:00-02:00',
      '0001-01-01T00:00:00+00:01',
      '9999-12-31T23:59:59-00:01',
      '12024-01-01T00:00:00Z',
      'infinity',
      'now',
    ].map((time): [object, object] => [{ created_at: time }, invalid('created_at')]),
    [{ updated_at: 5 }, invalid('updated_at')],
    [{ nick: 1 }, { code: 'unknown_member', member: 'nick' }],
    ['{"username":"a@b.test","__proto__":{}}', { code: 'unknown_member', member: '__proto__' }],
    [{ is_test_user: false }, { code: 'not_test_user' }],
    [{ email: 'a@gmail.com' }, { code: 'domain_not_reserved', email: 'a@gmail.com' }],
    [{ email: 'a@example.com.evil.org' }, { code: 'domain_not_reserved' }],
    [{ email: 'a@localhost' }, { code: 'domain_not_reserved' }],
  ]
  for (const [row, expected] of table) {
    const what = (typeof row === 'string' ? row : JSON.stringify(row)).slice(0, 80)
    t.match(typeof row === 'string' ? check(row) : of(row), { n: 7, message: String, ...expected }, what)
  }
  t.match(
    of({ email: '\ud800@gmail.com' }),
    { username: 'a@example.com', email: '' },
    'only what can be stored is reported',
  )
  t.end()
})

t.test('a password, a password hash or a TOTP secret rejects the whole import', (t) => {
  for (const name of ['password', 'password_hash', 'totp_secret'])
    t.throws(() => of({ [name]: null }), { code: 'import_credentials' })
  t.end()
})
