import fc from 'fast-check'
import { ElementCutter } from '../../src/import/read-json.ts'
import { LineCutter, MAX_ROW_LENGTH } from '../../src/protocol/text.ts'
import { anyCharacter } from '../any-character.ts'
import { suite } from '../suite.ts'

const t = suite()

/** Cuts `text`, which arrives in pieces that end at the given places. */
function cut(cutter: { push(piece: string): string[]; end(): unknown }, text: string, places: number[] = []): string[] {
  const borders = [...new Set(places.map((place) => place % (text.length + 1)))].sort((a, b) => a - b)
  const pieces = [...borders, text.length].map((end, i) => text.slice(borders[i - 1] ?? 0, end))
  const cuts = pieces.flatMap((piece) => cutter.push(piece))
  const last = cutter.end()
  return typeof last === 'string' ? [...cuts, last] : cuts
}
const elements = (text: string, places?: number[]) => cut(new ElementCutter(), text, places)

const places = fc.array(fc.nat(10_000), { maxLength: 20, size: 'max' })
const spaces = fc.constantFrom('', ' ', '\n', '\t\r\n')

t.test('elements are cut correctly, wherever the pieces end', (t) => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), places, spaces, (values, places, space) => {
      const texts = values.map((value) => JSON.stringify(value))
      const text = `${space}[${space}${texts.join(`${space},${space}`)}${space}]${space}`
      t.strictSame(
        elements(text, places).map((element) => element.trim()),
        texts,
      )
    }),
  )
  t.end()
})

t.test('the users of a full export are cut out, wherever they are', (t) => {
  const members = fc.shuffledSubarray(['kind', 'users', 'counts', 'state', 'filters'], { minLength: 5 })
  fc.assert(
    fc.property(
      fc.array(fc.object()),
      members,
      places,
      spaces,
      fc.jsonValue(),
      (users, names, places, space, other) => {
        const memberOf = (name: string) => (name === 'kind' ? 'full' : name === 'users' ? users : other)
        const text = `{${names.map((name) => `${space}${JSON.stringify(name)}${space}:${space}${JSON.stringify(memberOf(name))}${space}`).join(',')}}${space}`
        t.strictSame(
          elements(text, places).map((element) => JSON.parse(element)),
          JSON.parse(JSON.stringify(users)),
        )
      },
    ),
  )
  t.end()
})

t.test('numbers keep every digit', (t) => {
  t.strictSame(elements('[1.10, 12345678901234567890123]'), ['1.10', ' 12345678901234567890123'])
  t.end()
})

t.test('a text that is neither an array nor a full export is rejected', (t) => {
  const bad: [text: string, code: string][] = [
    ['', 'invalid_json'],
    ['  ', 'invalid_json'],
    ['nul', 'invalid_json'],
    ['"users"', 'invalid_json'],
    ['[', 'invalid_json'],
    ['[{"a":1}', 'invalid_json'],
    ['[{"a":"]', 'invalid_json'],
    ['[]]', 'invalid_json'],
    ['[] []', 'invalid_json'],
    ['[}', 'invalid_json'],
    ['{"kind":"full","users":[]', 'invalid_json'],
    ['{"kind":"full","users":[]]', 'invalid_json'],
    ['{"kind":"full"}', 'invalid_json'],
    ['{"kind":"full","users":{}}', 'invalid_json'],
    ['{"kind":"full","users":[],}', 'invalid_json'],
    ['{"kind":"full" "users":[]}', 'invalid_json'],
    ['{"users":[]}', 'invalid_request'],
    ['{"users":[{"username":"a@example.com"}],"total_count":1}', 'invalid_request'],
    ['{"kind":"delta","users":[]}', 'import_not_full'],
    ['{"kind":"delta","added":[', 'import_not_full'],
    ['{"kind":"unchanged","counts":{"deleted":0},"deleted":[', 'import_not_full'],
    ['{"kind":"full","users":[],"users":[]}', 'invalid_request'],
    ['{"username":"a@example.com"}', 'invalid_request'],
  ]
  for (const [text, code] of bad) t.throws(() => elements(text, [3, 7]), { code }, text)
  const noKind = {
    message: /body.kind is missing. Send an array of users/,
    errors: [{ path: 'body.kind', code: 'missing_member' }],
  }
  t.throws(() => elements('{"users":[]}'), noKind, 'an object without a kind is not reported as a delta')
  t.strictSame(elements('[1,]'), ['1', ''], 'invalid elements are left to the parser')
  t.end()
})

t.test('lines are cut correctly, wherever the pieces end', (t) => {
  const line = fc.string({ unit: anyCharacter }).map((text) => text.replaceAll('\n', ''))
  fc.assert(
    fc.property(fc.array(line, { minLength: 1 }), places, (lines, places) => {
      t.strictSame(cut(new LineCutter(), lines.join('\n'), places), lines)
    }),
  )
  t.end()
})

t.test('a line or element longer than the longest row is rejected', (t) => {
  const piece = 'x'.repeat(65_536)
  const fill = (cutter: { push(piece: string): unknown }, start: string) => {
    cutter.push(start)
    for (let i = 0; i <= MAX_ROW_LENGTH; i += piece.length) cutter.push(piece)
  }
  const tooLarge = { name: 'ContentError', fault: 'too_large' }
  t.throws(() => fill(new LineCutter(), ''), tooLarge)
  for (const start of ['["', '[', '{"kind":"', '{"']) t.throws(() => fill(new ElementCutter(), start), tooLarge, start)
  const longest = `"${'x'.repeat(MAX_ROW_LENGTH - 2)}"`
  t.strictSame(elements(`[${longest}]`), [longest])
  t.throws(() => elements(`[${longest} ]`), tooLarge)
  t.strictSame(cut(new LineCutter(), `${longest}\n`), [longest, ''])
  t.throws(() => cut(new LineCutter(), `${longest} \n`), tooLarge)
  t.end()
})
