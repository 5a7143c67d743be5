import fc, { type Arbitrary } from 'fast-check'

import { anyCharacter } from '../any-character.ts'

const TROUBLE = [
  '',
  ' ',
  '\0',
  'a\0b',
  '\ud800',
  'a\udfff',
  '\u202e\ufeff',
  '\r\nset-cookie: a=b',
  '__proto__',
  'constructor',
  'toString',
  'null',
  'true',
  '-1',
  '-0',
  '1e1000',
  '0x10',
  '9007199254740993',
  '99999999999999999999999999',
  '-9223372036854775809',
  'NaN',
  '٣',
  "' or 1=1 --",
  '../../etc/passwd',
  '{id}{nothing}%s',
  '=1+1',
  'x'.repeat(300),
  '🐉'.repeat(2_000),
]

/** Any text: every Unicode plane, lone surrogates, control characters, and known trouble. */
export const wildText: Arbitrary<string> = fc.oneof(
  fc.constantFrom(...TROUBLE),
  fc.string({ unit: anyCharacter, maxLength: 20 }),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 8 }).map((units) => String.fromCharCode(...units)),
  fc.oneof(fc.maxSafeInteger(), fc.double()).map(String),
)

/** A text with a flipped bit, cut, doubled, or in upper case. */
export const nearly = (texts: Arbitrary<string>): Arbitrary<string> =>
  fc.tuple(texts, fc.nat(), fc.nat({ max: 6 })).map(([text, place, bit]) => {
    const at = text.length === 0 ? 0 : place % text.length
    const turned = String.fromCharCode((text.charCodeAt(at) || 0) ^ (1 << bit))
    const changes = [
      text.slice(0, at) + turned + text.slice(at + 1),
      text.slice(0, at),
      text + text,
      text.toUpperCase(),
    ]
    return changes[place % changes.length] ?? text
  })

/** Any JSON value, including names that are special in JavaScript. */
export const wildJson: Arbitrary<unknown> = fc.oneof(
  wildText,
  fc.constantFrom(null, true, false, 0, -1, 1.5, 2 ** 31, 2 ** 53, -(2 ** 63), 1e300, [], {}, [[]], { a: null }),
  fc.jsonValue({ maxDepth: 3 }),
  fc.dictionary(fc.oneof(wildText, fc.constantFrom('pool', 'count', 'id', '__proto__')), wildText, { maxKeys: 3 }),
)

/** Texts that are JSON or nearly, and that `JSON.stringify` never writes. */
export const wildJsonText: Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '{',
    '{}}',
    '[1,]',
    "{'a':1}",
    '{"a":1e999}',
    '{"a":-0}',
    '{"count":1,"count":2}',
    '{"pool":"default","pool":"nowhere"}',
    '{"__proto__":{"count":1}}',
    '{"constructor":{"prototype":{"a":1}}}',
    '{"role":"\\ud800"}',
    '{"role":"\\u0000"}',
    '{"custom_attributes":{"\\udc00":1}}',
    '{"custom_attributes":{"\\u0000":1}}',
    '{"custom_attributes":{"a":12345678901234567890123456789.10}}',
    '{"custom_attributes":{"a":1e-999999}}',
    '\ufeff{"role":"x"}',
    '{"role":NaN}',
    '"text"',
    'null',
    '[]',
    '123',
  ),
  fc.constantFrom(10, 99, 101, 5_000, 100_000).map((depth) => `${'['.repeat(depth)}${']'.repeat(depth)}`),
  fc
    .constantFrom(50, 99, 101, 5_000)
    .map((depth) => `{"custom_attributes":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}`),
)
