import fc, { type Arbitrary } from 'fast-check'
import type { Manner } from './fuzzed-request.ts'
import { type Known, SECRETS } from './known.ts'

/** All characters that are allowed in a header value. Other ones are tested on a raw socket. */
const wildValue = fc
  .array(fc.oneof(fc.integer({ min: 0x20, max: 0x7e }), fc.integer({ min: 0x80, max: 0xff })), { maxLength: 30 })
  .map((codes) => String.fromCharCode(...codes).trim())

const VALUES: Record<string, string[]> = {
  accept: [
    'application/json',
    'application/x-ndjson;q=0.5, text/csv',
    'image/png',
    '*/*;q=0',
    'text/csv;q=2',
    ',,',
    '*',
  ],
  'accept-encoding': ['gzip', 'zstd, br;q=0.5', 'identity;q=0', '*;q=0', 'gzip;q=x', 'deflate', 'br', 'x-gzip'],
  'idempotency-key': ['one', 'two', 'x'.repeat(256), '"', 'one'],
  'if-match': ['*', '"x"', 'W/"x"'],
  'if-modified-since': ['Thu, 01 Jan 1970 00:00:00 GMT', 'yesterday'],
  'last-event-id': ['0', '1', '-1', '99999999999', 'x'],
  // Other tests cover longer waits.
  prefer: ['wait=1', 'wait=0', 'wait=-1', 'wait="1"', 'respond-async, wait=1', 'wait', 'wait=1.5', 'wait=x'],
  range: ['bytes=0-0', 'bytes=-1', 'bytes=5-1', 'bytes=0-99999999999999999999', 'users=0-1', 'bytes=0-0,2-3,5-'],
  'content-type': [
    'application/json',
    'text/plain',
    'application/json; charset=utf-16',
    'application/x-www-form-urlencoded',
    'a',
    '/',
    ';',
  ],
  'content-encoding': ['gzip', 'br', 'zstd', 'deflate', 'gzip, gzip', 'identity', 'x', 'compress', ''],
  expect: ['100-continue', 'tea'],
  te: ['trailers'],
  origin: ['null', 'http://evil.example'],
  'x-http-method-override': ['DELETE'],
  'x-forwarded-host': ['evil.example'],
  host: ['evil.example', '127.0.0.1', '', '[::1', 'a b', 'a/b', 'user@evil.example'],
}

const WRONG_KEYS = [
  '',
  'Bearer',
  'Bearer x',
  'Basic YTpi',
  `bearer  ${SECRETS.adminKey}`,
  `Bearer ${SECRETS.adminKey}x`,
]

/** Mostly the admin key, and a few of the headers that have a meaning. */
export function fuzzedHeaders(manner: Manner, { samples }: Known): Arbitrary<Record<string, string>> {
  const values: Record<string, readonly string[]> = { ...VALUES, 'if-none-match': tagsOf(samples['base'] as string[]) }
  const spoiling = ['content-type', 'content-encoding', 'expect', 'host']
  const names = Object.keys(values).filter((name) => manner !== 'valid' || !spoiling.includes(name))
  const header = fc
    .constantFrom(...names)
    .chain((name) =>
      fc.tuple(
        fc.constant(name),
        manner === 'wild'
          ? fc.oneof(fc.constantFrom(...(values[name] ?? [])), wildValue)
          : fc.constantFrom(...(values[name] ?? [])),
      ),
    )
  const authorization = fc.oneof(
    { weight: manner === 'valid' ? 30 : 12, arbitrary: fc.constant(`Bearer ${SECRETS.adminKey}`) },
    { weight: 2, arbitrary: fc.constantFrom(`Bearer ${SECRETS.readKey}`, `Bearer ${SECRETS.writeKey}`) },
    { weight: manner === 'wild' ? 2 : 1, arbitrary: fc.constantFrom(...WRONG_KEYS) },
  )
  return fc
    .tuple(fc.array(header, { maxLength: manner === 'wild' ? 4 : 2 }), authorization)
    .map(([some, authorization]) => ({ ...Object.fromEntries(some), authorization }))
}

const tagsOf = ([state = '', ...others]: string[]): string[] => [
  `W/"${state}"`,
  `"${state}"`,
  state,
  `W/"${state.slice(0, -1)}"`,
  `W/"${state.toUpperCase()}"`,
  `"x", ${others.map((other) => `W/"${other}"`).join(' , ')}`,
  '*',
  '"*"',
  'W/"',
  ',',
  `"a",${'"b",'.repeat(1_000)}`,
]
