import { Readable } from 'node:stream'
import fc from 'fast-check'
import { ExportError, type ExportRow, readExport } from '../../src/protocol/read-export.ts'
import { suite } from '../suite.ts'

const t = suite()

const STATE = `u1-${'0'.repeat(64)}`
const idOf = (n: number) => `${String(n).padStart(8, '0')}-0000-7000-8000-000000000000`
const user = (id: string, name = 'ünï "☃"\n') => JSON.stringify({ id, username: name })

/** The lines of an export with these rows between head and end. */
function linesOf(rows: string[], { kind = 'full', users = rows.length } = {}): string[] {
  const counts = { added: users, updated: 0, deleted: 0 }
  const head = { kind, base: kind === 'full' ? null : STATE, state: STATE, total_count: users, counts }
  return [JSON.stringify(head), ...rows, JSON.stringify({ end: STATE, lines: users })]
}

const bodyOf = (lines: string[]) => lines.map((line) => `${line}\n`).join('')

/** The text in pieces of these lengths, and the rest. */
function inPieces(text: string, lengths: number[]): Readable {
  const ends = lengths.map((_, i) => lengths.slice(0, i + 1).reduce((sum, length) => sum + length, 0))
  return Readable.from([...ends, text.length].map((end, i) => text.slice(ends[i - 1] ?? 0, end)))
}

async function readAll(text: string, lengths: number[] = []) {
  const { head, pages } = await readExport(inPieces(text, lengths))
  const rows: ExportRow[] = []
  for await (const page of pages) rows.push(...page)
  return { head, rows }
}

async function faultOf(text: string): Promise<string | undefined> {
  try {
    await readAll(text)
    return undefined
  } catch (error) {
    if (error instanceof ExportError) return error.fault
    throw error
  }
}

t.test('rows are read unchanged and in order, however the text arrives', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(
          fc.uuid().map((id) => user(id)),
          fc.uuid().map((id) => `{"deleted":"${id}"}`),
        ),
      ),
      fc.array(fc.nat(40)),
      async (rows, lengths) => {
        const users = rows.filter((row) => row.startsWith('{"id"')).length
        const { head, rows: read } = await readAll(bodyOf(linesOf(rows, { kind: 'delta', users })), lengths)
        const received = read.map((row) => ('id' in row ? row.line : `{"deleted":"${row.deleted}"}`))
        return head.kind === 'delta' && JSON.stringify(received) === JSON.stringify(rows)
      },
    ),
  )
})

t.test('a body cut at any place is rejected', async (t) => {
  const body = bodyOf(linesOf([user(idOf(1)), user(idOf(2))]))
  for (let length = 0; length < body.length; length++) {
    const fault = await faultOf(body.slice(0, length))
    if (fault !== 'cut') t.fail(`${fault} after ${length} characters`)
  }
  t.equal(await faultOf(body), undefined)
  t.equal(await faultOf(bodyOf(linesOf([user(idOf(1))], { users: 2 }))), 'cut', 'a line is missing in the middle')
})

t.test('a text that is not an export is rejected', async (t) => {
  const [head = '', end = ''] = linesOf([])
  const wrong = {
    'a text': ['Not Found'],
    'an object of another kind': ['{"kind":"weekly"}', end],
    'JSON that is not an object': ['1', end],
    'a full export with a base': [head.replace('"base":null', `"base":"${STATE}"`), end],
    'a delta without a base': [head.replace('"full"', '"delta"'), end],
    'a row that is not a user': [head, '{"name":"x"}', end],
    'a line after the end': [head, end, end],
    'a different state at the end': [head, end.replace('u1-0', 'u1-1')],
    'an empty line': [head, '', end],
    'an invalid state': [head, end].map((line) => line.replaceAll(STATE, 'u1-\u001b[2J')),
  }
  for (const [what, lines] of Object.entries(wrong)) t.equal(await faultOf(bodyOf(lines)), 'malformed', what)
})
