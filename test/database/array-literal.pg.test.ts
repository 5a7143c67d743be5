import fc from 'fast-check'
import { arrayLiteral } from '../../src/database/array-literal.ts'
import { connect } from '../../src/database/connection.ts'
import { emptyDatabase } from '../database.ts'
import { suite } from '../suite.ts'

const t = suite()

const sql = connect({ url: await emptyDatabase(), schema: 'public', connections: 1, name: 'test' })
t.teardown(() => sql.end({ timeout: 5 }))

const piece = fc.constantFrom(
  '"',
  '\\',
  'n',
  'u0041',
  '\n',
  '\t',
  '\u0001',
  '{',
  '}',
  ',',
  'NULL',
  'null',
  ' ',
  'é',
  '\u2028',
  '🙂',
)
const text = fc.oneof(
  fc.array(piece).map((pieces) => pieces.join('')),
  fc.string({ unit: 'grapheme' }),
)

t.test('PostgreSQL reads the texts that were written', async (t) => {
  const texts = fc.array(fc.option(text.filter((text) => !text.includes('\0'))), { maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(texts, async (texts) => {
      const [row] = await sql<{ read: (string | null)[] }[]>`select to_json(${arrayLiteral(texts)}::text[]) as read`
      t.strictSame(row?.read, texts)
    }),
    { numRuns: 200 },
  )
})
