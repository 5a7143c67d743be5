import fc from 'fast-check'
import { connect } from '../../src/database/connection.ts'
import { csvLine, lineOfCells } from '../../src/export/csv.ts'
import { parseUserLine } from '../../src/protocol/user-line.ts'
import { userLine } from '../../src/states/filter.ts'
import { anyCharacter } from '../any-character.ts'
import { testDatabase } from '../database.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/* A parsed user line, written as CSV, equals the CSV line that PostgreSQL writes for the same user. */

const sql = connect({ url: await testDatabase(), schema: 'usersync', connections: 4, name: 'test' })
t.teardown(() => sql.end())

/** Every character that PostgreSQL can store: no NUL, no lone surrogate. */
const text = fc
  .oneof(
    fc.string({ unit: anyCharacter, maxLength: 12 }),
    fc.string({
      unit: fc.constantFrom(
        '"',
        '\\',
        ',',
        '\n',
        '\r',
        '\t',
        '=',
        '+',
        '-',
        '@',
        '{',
        '}',
        ':',
        'u0041',
        '☃',
        '😀',
        '"created_at":"',
      ),
      maxLength: 12,
    }),
  )
  .map((value) => value.replaceAll('\u0000', ''))

const number = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.bigInt({ min: 0n, max: 10n ** 40n }),
    fc.constantFrom('', '.50', '.000', 'e-7', 'e12'),
  )
  .map((parts) => parts.join(''))
const attributes = fc
  .dictionary(
    text,
    fc.oneof(
      text.map((value) => JSON.stringify(value)),
      number,
      fc.constant('{"a": [null, true]}'),
    ),
  )
  .map((members) => `{${Object.entries(members).map(([name, value]) => `${JSON.stringify(name)}: ${value}`)}}`)

const user = fc.record({
  username: text,
  email: text,
  role: text,
  test: fc.boolean(),
  batch: fc.option(fc.uuid()),
  bulk: fc.boolean(),
  attributes,
  created: fc
    .date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
    .map((date) => date.toISOString()),
})

t.test('a parsed user line gives the service’s CSV line', async () => {
  await fc.assert(
    fc.asyncProperty(user, fc.uuid(), async ({ username, email, role, test, batch, bulk, attributes, created }, id) => {
      const [row] = await sql<{ user_line: string; line: string }[]>`
        select ${userLine(sql, 'u')} as user_line, ${csvLine.columns(sql)} from (
          select ${id}::uuid as id, ${username}::text as username, ${email}::text as email, ${role}::text as role,
            ${test}::bool as is_test_user, ${batch}::uuid as batch_id, ${bulk}::bool as created_by_bulk,
            ${attributes}::jsonb as custom_attributes, ${created}::timestamptz as created_at, now() as updated_at
        ) u`
      const { bare, cells, credentials } = parseUserLine(row?.user_line ?? '') ?? {}
      return bare === row?.user_line && lineOfCells(cells ?? []) === row?.line && credentials?.size === 0
    }),
    { numRuns: sized(100, 300) },
  )
})

t.test('credentials follow the user line and are not part of it', () => {
  const line = `{"id":"a","username":"u","email":"e","role":"r","is_test_user":true,"batch_id":null,"created_by_bulk":false,"custom_attributes":{},"created_at":"c","updated_at":"d"}`
  fc.assert(
    fc.property(
      fc.option(text),
      fc.option(text),
      fc.subarray(['password', 'password_hash', 'totp_secret']),
      (password, hash, names) => {
        const values = names.map((name) => (name === 'password' ? password : hash))
        const members = names.map((name, i) => `,"${name}":${JSON.stringify(values[i])}`).join('')
        const { bare, cells = [], credentials } = parseUserLine(`${line.slice(0, -1)}${members}}`) ?? {}
        const parsed = names.map((name) => credentials?.get(name) ?? null)
        return (
          bare === line &&
          lineOfCells([...cells, ...parsed]) ===
            csvLine.append(
              'a,u,e,r,true,,false,{},c,d',
              names.map((name, i) => [name, values[i] ?? null]),
            )
        )
      },
    ),
  )
  return Promise.resolve()
})

t.test('parseUserLine returns undefined for anything else', (t) => {
  const line = `{"id":"a","username":"u","email":"e","role":"r","is_test_user":true,"batch_id":null,"created_by_bulk":false,"custom_attributes":{},"created_at":"c","updated_at":"d"}`
  t.ok(parseUserLine(line))
  for (const wrong of ['', '{}', line.slice(1), line.slice(0, -1), `${line} `, ` ${line}`, line.replace('true', '1')])
    t.equal(parseUserLine(wrong), undefined, wrong)
  t.end()
})
