import fc from 'fast-check'
import type { Preset } from '../../src/passwords/presets.ts'
import type { SinkUser } from '../../src/sync/kinds/kind.ts'
import { kratos } from '../../src/sync/kinds/kratos.ts'
import { renderRows, type TablesMapping } from '../../src/sync/kinds/postgres/mapping.ts'
import { PRESETS } from '../../src/sync/kinds/postgres/presets.ts'
import { postgres } from '../../src/sync/kinds/postgres.ts'
import { compileValue, HIDDEN, InvalidValue, secretsOf } from '../../src/sync/kinds/values.ts'
import { createPacer } from '../../src/sync/sinks/pacer.ts'
import { anyCharacter } from '../any-character.ts'
import { cheapHash } from '../passwords/cheap-hash.ts'
import { suite } from '../suite.ts'

const t = suite()

const user: SinkUser = {
  id: '01890000-0000-7000-8000-000000000001',
  username: 'ann@example.com',
  email: 'ann@example.com',
  role: 'user',
  batch_id: null,
  custom_attributes: { plan: 'gold', age: 30, tags: ['a'], '{': 'brace' },
  created_at: '2026-01-01T00:00:00.000000Z',
  updated_at: '2026-01-02T00:00:00.000000Z',
  password_hash: '$2b$10$s3cret',
  password: 'plain s3cret',
}

t.test('values become texts', (t) => {
  const table: [value: unknown, text: string | null][] = [
    ['{username} is {role}', 'ann@example.com is user'],
    ['{{{role}}}', '{user}'],
    ['', ''],
    ['{batch_id}', null],
    ['in {batch_id}', 'in '],
    ['{custom_attributes.plan}', 'gold'],
    ['{custom_attributes.age}', '30'],
    ['{custom_attributes.tags}', '["a"]'],
    ['{custom_attributes.none}', null],
    ['{custom_attributes.constructor}', null],
    [true, 'true'],
    [1.5, '1.5'],
    [null, null],
    [{ $member: 'password_hash', prefix: '{bcrypt}' }, '{bcrypt}$2b$10$s3cret'],
    [{ $member: 'password' }, 'plain s3cret'],
    [{ a: '{role}', b: [1, { c: '{id}' }] }, `{"a":"user","b":[1,{"c":"${user.id}"}]}`],
    [
      { a: '{custom_attributes.age}', b: 'is {custom_attributes.age}', c: '{batch_id}' },
      '{"a":30,"b":"is 30","c":null}',
    ],
  ]
  for (const [value, text] of table) t.equal(compileValue(value).text(user, true), text, JSON.stringify(value))
  t.end()
})

t.test('a text without braces is itself, and each brace without its partner is found', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: anyCharacter }), (text) => {
      const literal = text.replaceAll('{', '{{').replaceAll('}', '}}')
      return compileValue(literal).text(user, true) === text
    }),
  )
  for (const value of [
    '{',
    '}',
    'a}',
    '{a',
    '{}',
    '{nobody}',
    '{password_hash}',
    { $member: 'x' },
    { $member: 'id', x: 1 },
    { $x: 1 },
    { a: { $member: 'password' } },
    { a: [{ $returned: 'x' }] },
  ])
    t.throws(() => compileValue(value), InvalidValue, JSON.stringify(value))
  t.end()
})

t.test('the secrets of a mapping are those that it names, each once', (t) => {
  const hash = { $member: 'password_hash', prefix: '{bcrypt}' }
  t.strictSame(
    secretsOf({}, { tables: [{ columns: { a: hash, b: hash, c: '{password}', d: { $member: 'role' } } }] }),
    ['password_hash'],
  )
  t.strictSame(secretsOf({}, { password: { $member: 'password' }, other: [hash] }), ['password', 'password_hash'])
  t.strictSame(secretsOf({}, null), [])
  t.end()
})

t.test('no secret is in what a dry run shows, whatever the preset', (t) => {
  for (const [name, mapping] of Object.entries(PRESETS)) {
    t.strictSame(postgres.mappingFaults(mapping), [], name)
    const preset = name === 'django' ? 'django-3.2' : (name as Preset)
    const hashed = { ...user, password_hash: cheapHash(preset) }
    const shown = renderRows(mapping, hashed, false)
    t.notOk(JSON.stringify(shown).includes(hashed.password_hash.slice(-20)), name)
    t.ok(JSON.stringify(shown).includes(HIDDEN), name)
    t.match(
      renderRows(mapping, { ...user, password_hash: null }, true),
      { refusal: { code: 'credential_missing' } },
      name,
    )
  }
  const mapping: TablesMapping = { tables: [{ table: 'x', columns: { a: '{batch_id}' }, key: ['a'] }] }
  t.match(renderRows(mapping, user, true), { refusal: { code: 'value_missing' } })
  t.end()
})

t.test('a key is a column of the mapping, and not a member that every object has', (t) => {
  const mapping: TablesMapping = { tables: [{ table: 'x', columns: { a: '{id}' }, key: ['constructor'] }] }
  t.match(postgres.mappingFaults(mapping), [{ path: 'body.mapping.tables.0.key.0' }])
  t.end()
})

t.test('the traits of Kratos are an object of templates', (t) => {
  t.strictSame(kratos.mappingFaults({ traits: { email: '{email}', name: { first: '{role}' } } }), [])
  for (const traits of [{ $member: 'password' }, { $returned: 'x' }, { email: { $member: 'email' } }, { a: '{b}' }])
    t.match(kratos.mappingFaults({ traits }), [{ path: 'body.mapping.traits' }], JSON.stringify(traits))
  t.end()
})

t.test('a password in a url is separated, and names are encoded', (t) => {
  t.strictSame(postgres.readUrl('postgresql://a%40b:p%2Fw@[::1]/x%20y?sslmode=require'), {
    url: 'postgres://a%40b@[::1]:5432/x%20y?sslmode=require',
    key: 'p/w',
    hosts: ['::1'],
  })
  t.end()
})

t.test('a pacer spreads users over time', async (t) => {
  const pace = createPacer(1_000)
  const began = performance.now()
  for (let n = 0; n < 4; n++) await pace(20, new AbortController().signal)
  const took = performance.now() - began
  t.ok(took >= 55, `4 batches of 20 at 1,000 per second: the last begins after ${took} ms`) // Node's timers may be 1 ms early
  await pace(1_000, new AbortController().signal) // the next one waits for a second, however slow the machine is
  await t.rejects(pace(1, AbortSignal.abort(new Error('stopped'))), { message: 'stopped' })
})
