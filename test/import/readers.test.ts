import fc from 'fast-check'
import { readCsv } from '../../src/import/read-csv.ts'
import { readJson } from '../../src/import/read-json.ts'
import { readNdjson } from '../../src/import/read-ndjson.ts'
import type { GivenRow } from '../../src/import/row.ts'
import { MAX_ROW_LENGTH } from '../../src/protocol/text.ts'
import { anyCharacter } from '../any-character.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { csvOf } from './csv.ts'

const t = suite()

type Reader = (texts: AsyncIterable<string>) => AsyncIterable<GivenRow[]>

/**
 * The values that a reader returns for a text in pieces of `size` characters; as with a decoder, no piece splits a
 * surrogate pair.
 */
async function values(reader: Reader, text: string, size = 7): Promise<unknown[]> {
  // biome-ignore lint/suspicious/useAwait: readers accept pieces as they arrive
  async function* pieces() {
    for (let begin = 0, end = 0; begin < text.length; begin = end) {
      end = begin + size
      if (/[\ud800-\udbff]/.test(text.charAt(end - 1))) end++
      yield text.slice(begin, end)
    }
  }
  const rows: GivenRow[] = []
  for await (const some of reader(pieces())) rows.push(...some)
  return rows.map(({ value }) => value)
}

const USERS = [
  { username: 'a@example.com', custom_attributes: { 'plan, "x"': '=1+1\r\n', deep: [null, { ü: '🐉' }] } },
  { username: 'b', email: 'b@example.com', is_test_user: true, created_by_bulk: false, batch_id: null },
]
const HEAD = '{"kind":"full","state":"u1-x","total_count":9}'
const LINES = USERS.map((user) => JSON.stringify(user)).join('\n')

t.test('the three formats give the same rows', async (t) => {
  t.strictSame(await values(readJson, JSON.stringify(USERS)), USERS)
  t.strictSame(await values(readJson, JSON.stringify({ kind: 'full', users: USERS, counts: {} })), USERS)
  t.strictSame(await values(readNdjson, LINES), USERS)
  t.strictSame(await values(readNdjson, `\r\n${LINES.replaceAll('\n', '\r\n')}\n\n`), USERS)
  t.strictSame(await values(readNdjson, `${HEAD}\n${LINES}\n{"end":"u1-x","lines":2}\n`), USERS)
  const columns = ['is_test_user', 'username', 'custom_attributes', 'batch_id', 'email', 'created_by_bulk']
  for (const lineEnd of ['\n', '\r\n']) {
    const text = csvOf(USERS, columns, lineEnd)
    const rows = USERS.map((user) => ({ ...user, batch_id: null }))
    for (const size of [1, 7, 10_000]) t.same(await values(readCsv, text, size), rows)
  }
})

t.test('CSV cells are read exactly as they were written', async (t) => {
  const cell = fc.oneof(
    fc.string({ unit: anyCharacter, minLength: 1 }),
    fc.string({ unit: fc.constantFrom(',', '"', '\n', '\r', ';', 'a'), minLength: 1 }),
  )
  // A row of blank cells is ignored.
  const row = fc
    .record({ username: cell, email: cell, role: cell })
    .filter((cells) => Object.values(cells).some((text) => text.trim() !== ''))
  await fc.assert(
    fc.asyncProperty(
      fc.array(row),
      fc.constantFrom('\n', '\r\n'),
      fc.integer({ min: 1, max: 50 }),
      async (rows, lineEnd, size) => {
        t.strictSame(
          (await values(readCsv, csvOf(rows, ['username', 'email', 'role'], lineEnd), size)).map((value) =>
            JSON.stringify(value),
          ),
          rows.map((row) => JSON.stringify({ username: row.username, email: row.email, role: row.role })),
        )
      },
    ),
  )
})

t.test('an NDJSON export without its end line, or with a wrong one, is rejected as cut', async (t) => {
  const end = (members: object) => `${HEAD}\n${LINES}\n${JSON.stringify(members)}\n`
  const cut = [
    `${HEAD}\n${LINES}\n`,
    HEAD,
    end({ end: 'u1-y', lines: 2 }),
    end({ end: 'u1-x', lines: 1 }),
    end({ end: 'u1-x' }),
    `${end({ end: 'u1-x', lines: 2 })}${LINES}`,
    `${LINES}\n{"end":"u1-x","lines":2}`,
  ]
  for (const text of cut) await t.rejects(values(readNdjson, text), { code: 'import_cut' }, text.slice(-60))
})

t.test('a delta cannot be imported', async (t) => {
  for (const kind of ['delta', 'unchanged']) {
    await t.rejects(values(readNdjson, `{"kind":"${kind}","state":"u1-x"}\n`), { code: 'import_not_full' })
    await t.rejects(values(readJson, `{"kind":"${kind}","added":[]}`), { code: 'import_not_full' })
  }
  await t.rejects(values(readCsv, 'op,id,username\nadded,,a'), { code: 'import_not_full' })
})

t.test('invalid columns are reported by name', async (t) => {
  type Expected = { code: string; errors?: object[]; message?: RegExp } | { name: string; fault: string }
  const table: [text: string, expected: Expected][] = [
    ['username,nick\n', { code: 'invalid_request', errors: [{ path: 'columns.nick', code: 'unknown_member' }] }],
    [
      'username;email\n',
      { code: 'invalid_request', errors: [{ path: 'columns.username;email' }, { path: 'columns.username' }] },
    ],
    [
      'Username\n',
      {
        code: 'invalid_request',
        errors: [{ path: 'columns.Username' }, { path: 'columns.username', code: 'missing_member' }],
      },
    ],
    [
      'username,email,username\n',
      { code: 'invalid_request', errors: [{ path: 'columns.username', code: 'duplicate' }] },
    ],
    [
      'email\na@example.com',
      { code: 'invalid_request', errors: [{ path: 'columns.username', code: 'missing_member' }] },
    ],
    ['username,,\n', { code: 'invalid_request', errors: [{ path: 'columns.2', message: 'has no name' }] }],
    ['username,password\n', { code: 'import_credentials' }],
    ['username,password_hash\n', { code: 'import_credentials' }],
    ['username,totp_secret\n', { code: 'import_credentials' }],
    ['', { code: 'invalid_csv' }],
    ['username\n"a', { code: 'invalid_csv' }],
    ['username\na"b\n', { code: 'invalid_csv', message: /Line 2/ }],
    ['{"username":"a"}\n', { code: 'invalid_csv', message: /Line 1/ }],
    ['username\n"a"b\n', { code: 'invalid_csv', message: /Line 2/ }],
    [`username\n${'x'.repeat(MAX_ROW_LENGTH + 1)}`, { name: 'ContentError', fault: 'too_large' }],
    [`username\n"${'x'.repeat(MAX_ROW_LENGTH + 1)}`, { name: 'ContentError', fault: 'too_large' }],
    // At the small size, body.pg.test.ts alone sends such a row.
    ...sized<[string, Expected][]>(
      [],
      [[`username\n${','.repeat(MAX_ROW_LENGTH + 1)}`, { name: 'ContentError', fault: 'too_large' }]],
    ),
  ]
  for (const [text, expected] of table) await t.rejects(values(readCsv, text, 65_536), expected, text.slice(0, 30))
})

t.test('rows with only empty cells, which spreadsheets append, are ignored', async (t) => {
  const text = 'username,email,role\na,b,c\n,,\r\n"","",""\nd,e,f\n,,\n , ,\n,,'
  t.strictSame(await values(readCsv, text), [
    { username: 'a', email: 'b', role: 'c' },
    { username: 'd', email: 'e', role: 'f' },
  ])
})

t.test('only CSV accepts booleans as spreadsheets write them', async (t) => {
  const cells = { TRUE: true, True: true, true: true, FALSE: false, False: false, yes: 'yes', ' TRUE': ' TRUE' }
  for (const [cell, value] of Object.entries(cells)) {
    const text = `username,is_test_user,created_by_bulk\n${cell},${cell},${cell}\n`
    t.strictSame(await values(readCsv, text), [{ username: cell, is_test_user: value, created_by_bulk: value }], cell)
  }
  t.strictSame(await values(readNdjson, '{"username":"a","is_test_user":TRUE}\n'), [undefined])
})

t.test('an unreadable row still counts as a row', async (t) => {
  t.strictSame(await values(readNdjson, '{"username":\n[1]\n'), [undefined, [1]])
  t.strictSame(await values(readCsv, 'username,email\na\na,b,c\na,b\n'), [
    undefined,
    undefined,
    { username: 'a', email: 'b' },
  ])
  t.strictSame(await values(readCsv, 'username,custom_attributes\na,{x}\n'), [
    { username: 'a', custom_attributes: '{x}' },
  ])
  await t.rejects(values(readJson, '[{"username":"a"},{"username":}]'), { code: 'invalid_json', message: /Row 2/ })
})
