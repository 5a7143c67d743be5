import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import fc, { type Arbitrary } from 'fast-check'
import type { Manner } from './fuzzed-request.ts'
import type { Known } from './known.ts'
import { nearlyValue, type Schema, valuesOf } from './schema-value.ts'
import { nearly, wildJson, wildJsonText, wildText } from './wild.ts'

/** The bodies that an operation accepts, by media type. */
export type Content = Record<string, { schema: Schema }>

interface Body {
  type: Record<string, string>
  bytes: Buffer | undefined
}

/**
 * Bodies of each media type that the operation accepts, encoded or not. In wild manner also of other types, or none.
 */
export function bodyOf(content: Content, manner: Manner, known: Known): Arbitrary<Body> {
  const bodies = Object.entries(content).map(([type, { schema }]) =>
    fc.tuple(textOf(type, schema, manner, known), coding).map(
      ([text, { name, encode }]): Body => ({
        type: { 'content-type': type, ...(name && { 'content-encoding': name }) },
        bytes: encode(Buffer.from(text)),
      }),
    ),
  )
  const fitting = fc.oneof(...bodies)
  if (manner === 'valid') return fitting
  if (manner === 'near') return fc.oneof({ weight: 6, arbitrary: fitting }, spoilt(fitting))
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
  const type = fc.constantFrom(
    'application/json',
    'text/plain',
    'multipart/form-data',
    'application/x-ndjson',
    'text/csv',
  )
  return fc.oneof(
    fitting,
    spoilt(fitting),
    fc.tuple(type, bytes).map(([type, bytes]) => ({ type: { 'content-type': type }, bytes })),
    fc.constant({ type: {}, bytes: undefined }),
  )
}

const CODINGS = [
  { name: 'gzip', encode: gzipSync },
  { name: 'br', encode: brotliCompressSync },
  { name: 'zstd', encode: zstdCompressSync },
  { name: 'deflate', encode: deflateSync },
]
const coding = fc.oneof(
  { weight: 6, arbitrary: fc.constant({ name: '', encode: (bytes: Buffer): Buffer => bytes }) },
  fc.constantFrom(...CODINGS),
)

/** A body that is cut, continues after its end, has a flipped bit, or is not in its encoding. */
const spoilt = (bodies: Arbitrary<Body>): Arbitrary<Body> =>
  fc.tuple(bodies, fc.nat(), fc.nat({ max: 7 })).map(([{ type, bytes = Buffer.alloc(0) }, place, bit]) => {
    const at = place % Math.max(1, bytes.length)
    const turned = Buffer.from(bytes)
    if (turned.length > 0) turned[at] = (turned[at] ?? 0) ^ (1 << bit)
    const lie = { ...type, 'content-encoding': CODINGS[bit % 4]?.name ?? '' }
    const ways: Body[] = [
      { type, bytes: bytes.subarray(0, at) },
      { type, bytes: Buffer.concat([bytes, bytes.subarray(at)]) },
      { type, bytes: turned },
      { type: lie, bytes },
    ]
    return ways[place % ways.length] as Body
  })

function textOf(type: string, schema: Schema, manner: Manner, known: Known): Arbitrary<string> {
  if (schema.type !== undefined) {
    const valid = valuesOf(schema, known.samples)
    const json = manner === 'valid' ? valid : fc.oneof(nearlyValue(valid), valid)
    return manner === 'wild' ? fc.oneof(json.map(jsonText), wildJsonText, wildJson.map(jsonText)) : json.map(jsonText)
  }
  const rows = fc.array(row(manner), { maxLength: 8 })
  if (type === 'application/json') return fc.oneof(rows.map(jsonText), wildJsonText)
  if (type === 'text/csv') return rows.map(csvText)
  const exported = fc.constantFrom(...known.exports)
  const lines = rows.map((all) => all.map((each) => `${jsonText(each)}\n`).join(''))
  return manner === 'valid'
    ? fc.oneof(lines, exported)
    : fc.oneof(lines, exported, shuffled(exported), nearly(exported), wildJsonText)
}

const jsonText = (value: unknown) => JSON.stringify(value) ?? ''

const row = (manner: Manner): Arbitrary<Record<string, unknown>> => {
  const text = manner === 'valid' ? fc.string({ minLength: 1, maxLength: 20 }) : fc.oneof(fc.string(), wildText)
  const valid = fc.record(
    {
      username: text,
      email: fc.nat({ max: 999 }).map((n) => `row${n}@example.com`),
      role: text,
      custom_attributes: fc.dictionary(text, wildJson, { maxKeys: 2 }),
      is_test_user: fc.constant(true),
      created_at: fc.constantFrom(
        '2020-02-29T00:00:00Z',
        '2020-02-29T23:59:60.123456789+14:00',
        '0000-00-00',
        '9999-12-31T23:59:59Z',
      ),
      id: fc.uuid(),
    },
    { requiredKeys: ['username', 'email'] },
  )
  return manner === 'valid' ? valid : (fc.oneof(valid, nearlyValue(valid)) as Arbitrary<Record<string, unknown>>)
}

/** CSV with a header row, and every value in quotes. */
function csvText(rows: Record<string, unknown>[]): string {
  const columns = [...new Set(rows.flatMap((each) => Object.keys(each ?? {})))]
  const cell = (value: unknown) =>
    `"${(typeof value === 'string' ? value : (jsonText(value) ?? '')).replaceAll('"', '""')}"`
  return [columns, ...rows.map((each) => columns.map((column) => each?.[column]))]
    .map((cells) => `${cells.map(cell).join(',')}\n`)
    .join('')
}

/** An export with a line removed, duplicated, or moved. */
const shuffled = (exports: Arbitrary<string>): Arbitrary<string> =>
  fc.tuple(exports, fc.nat(), fc.nat({ max: 2 })).map(([text, place, change]) => {
    const lines = text.split('\n')
    const [line = ''] = lines.splice(place % lines.length, 1)
    if (change > 0) lines.splice(place % 3, 0, ...Array(change).fill(line))
    return lines.join('\n')
  })
