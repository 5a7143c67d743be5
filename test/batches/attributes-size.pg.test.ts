import fc from 'fast-check'
import { jsonbBytes } from '../../src/protocol/longest-line.ts'
import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/* Attributes are stored once per user of a batch, as the text that PostgreSQL makes of jsonb. */

const { sql, call } = await sharedService(t)

const text = fc.string({ unit: 'grapheme' }).filter((each) => !each.includes('\0'))
const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.constantFrom(0, -0, 1e308, -1e308, 5e-324, -1.5e-300, 1e21, 1e-7, 123_456.789, 0.1, 100, 1.5),
)
const { json } = fc.letrec((tie) => ({
  json: fc.oneof(
    { depthSize: 'small' },
    text,
    number,
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('json'), { maxLength: 5 }),
    fc.dictionary(text, tie('json'), { maxKeys: 5 }),
  ),
}))

t.test('the computed size of any JSON value is that of its text as jsonb', async (t) => {
  const values = fc.sample(json, sized(200, 1_000)).map((value) => JSON.stringify(value))
  const rows = await sql<{ json: string; bytes: number }[]>`
    select v as json, octet_length(v::jsonb::text) as bytes from unnest(${values}::text[]) v`
  for (const { json, bytes } of rows) if (jsonbBytes(json) !== bytes) t.equal(jsonbBytes(json), bytes, json)
})

t.test('attributes of more than 64 KiB are rejected before anything is written', async (t) => {
  const MOST = 65_536
  const filled = (bytes: number) => ({ a: 'x'.repeat(bytes - '{"a": ""}'.length) })
  const large = { a: Array.from({ length: 220 }, () => 1e308) } // 1.3 KB as JSON, 68 KB as jsonb
  const ways: [method: string, path: string, body: (custom_attributes: object) => object][] = [
    [
      'POST',
      '/v1/batches',
      (custom_attributes) => ({ count: 1, config: { custom_attributes, password_hash: { algorithm: 'none' } } }),
    ],
    ['PUT', '/v1/templates/large', (custom_attributes) => ({ config: { custom_attributes } })],
  ]
  for (const [method, path, body] of ways) {
    for (const attributes of [large, filled(MOST + 1)]) {
      t.match(await call(method, path, { body: body(attributes) }), {
        status: 400,
        json: { code: 'invalid_request', errors: [{ path: /^body\.config/, code: 'too_large', message: /65536/ }] },
      })
    }
  }
  t.match(
    await call('POST', '/v1/batches', { body: ways[0]?.[2](filled(MOST)) ?? {}, headers: { prefer: 'wait=30' } }),
    {
      status: 201,
      json: { status: 'completed' },
    },
  )
  const verdict = await call('POST', '/v1/templates/validate', { body: { config: { custom_attributes: large } } })
  t.match(verdict.json, { is_valid: false, errors: [{ path: 'body.config.custom_attributes', code: 'too_large' }] })
  t.match(await sql`select count(*)::int as count from batches`, [{ count: 1 }])
})
