import fc from 'fast-check'
import { ExportError, type ExportHead, type ExportRow } from '../../src/protocol/read-export.ts'
import { merge, readChanges } from '../../src/pull/merge.ts'
import { suite } from '../suite.ts'

const t = suite()

const MISMATCH = 'the delta does not match the users in the base'

type Users = Record<string, string>
type Counts = ExportHead['counts']

const users = fc.dictionary(fc.constantFrom(...'abcdefgh'), fc.constantFrom('1', '2'))
const rowsOf = (held: Users): ExportRow[] =>
  Object.entries(held)
    .sort()
    .map(([id, version]) => ({ id, line: id + version }))

/** The delta between two sets of users, in the order of `key`. */
function deltaOf(from: Users, to: Users, key: (row: ExportRow) => number) {
  const deleted = Object.keys(from).filter((id) => !(id in to))
  const present = rowsOf(to).filter((row) => 'id' in row && row.line !== row.id + from[row.id])
  const updated = present.filter((row) => 'id' in row && row.id in from).length
  const rows = [...deleted.map((id) => ({ deleted: id })), ...present].sort((a, b) => key(a) - key(b))
  return { rows, counts: { added: present.length - updated, updated, deleted: deleted.length } }
}

/** The rows in pages of this size. */
async function* inPages(rows: ExportRow[], size = 2) {
  for (let i = 0; i < rows.length; i += size) yield await Promise.resolve(rows.slice(i, i + size))
}

const headOf = (counts: Counts): ExportHead => ({ kind: 'delta', base: 'b', state: 's', total_count: 0, counts })
const changesOf = (rows: ExportRow[], counts: Counts) => readChanges(headOf(counts), inPages(rows))

async function merged(from: Users, rows: ExportRow[], counts: Counts, size?: number): Promise<ExportRow[]> {
  const pages = await Array.fromAsync(merge(inPages(rowsOf(from), size), await changesOf(rows, counts), counts))
  if (pages.some((page) => page.length === 0)) throw new Error('a page is empty')
  return pages.flat()
}

t.test('merging a base and its delta gives the new users, ordered by id', async () => {
  await fc.assert(
    fc.asyncProperty(
      users,
      users,
      fc.func(fc.integer()),
      fc.integer({ min: 1, max: 9 }),
      async (from, to, key, size) => {
        const { rows, counts } = deltaOf(from, to, key)
        return JSON.stringify(await merged(from, rows, counts, size)) === JSON.stringify(rowsOf(to))
      },
    ),
  )
})

t.test('a delta for another base is rejected, wherever it differs', async () => {
  await fc.assert(
    fc.asyncProperty(users, users, users, fc.func(fc.integer()), async (other, from, to, key) => {
      const { rows, counts } = deltaOf(from, to, key)
      const areThere = rows.every((row) => 'id' in row || row.deleted in other)
      const shouldFit = areThere && rows.filter((row) => 'id' in row && row.id in other).length === counts.updated
      const outcome = await merged(other, rows, counts).catch((error) => error.fault)
      return shouldFit === (outcome !== 'other_base')
    }),
  )
})

t.test('a delta with wrong counts is rejected', async (t) => {
  const { rows, counts } = deltaOf({ a: '1', b: '1' }, { a: '2', c: '1' }, () => 0)
  for (const name of ['added', 'updated', 'deleted'] as const) {
    const wrong = { ...counts, [name]: counts[name] + 1 }
    await t.rejects(merged({ a: '1', b: '1' }, rows, wrong), new ExportError('other_base', MISMATCH), name)
  }
  await t.rejects(merged({ a: '1' }, [{ id: 'b', line: 'b1' }, { deleted: 'b' }], counts), { name: 'ExportError' })
})

t.test('many users added at one place are returned in pages', async (t) => {
  const rows = Array.from({ length: 2_500 }, (_, i) => ({ id: `b${10_000 + i}`, line: 'x' }))
  const counts = { added: rows.length, updated: 0, deleted: 0 }
  const pages = await Array.fromAsync(merge(inPages(rowsOf({ a: '1', c: '1' })), await changesOf(rows, counts), counts))
  t.strictSame(pages.flat(), [{ id: 'a', line: 'a1' }, ...rows, { id: 'c', line: 'c1' }])
  t.ok(pages.every((page) => page.length <= 1_000))
})

t.test('a delta that is too large is rejected, by its head or while it arrives', async (t) => {
  const none = { added: 0, updated: 0, deleted: 0 }
  await t.rejects(changesOf([], { ...none, added: 150_000, deleted: 50_001 }), { name: 'DeltaTooLarge' })
  const many = Array.from({ length: 200_001 }, (_, i) => ({ deleted: `${i}` }))
  await t.rejects(readChanges(headOf(none), inPages(many, 5_000)), { name: 'DeltaTooLarge' })
  const long = Array.from({ length: 129 }, (_, i) => ({ id: `${i}`, line: 'x'.repeat(1_048_576) }))
  await t.rejects(changesOf(long, none), { name: 'DeltaTooLarge' })
})
