import { Readable } from 'node:stream'
import fc from 'fast-check'
import { stateOf } from '../../src/protocol/state.ts'
import { compareExports } from '../../src/sync/verify.ts'
import { suite } from '../suite.ts'

const t = suite()

const idOf = (n: number) => `${String(n).padStart(8, '0')}-0000-7000-8000-000000000000`
const lineOf = (id: string, role: string) => JSON.stringify({ id, role })

/** A full export of these lines, in pieces of `size` characters. */
function exportOf(lines: string[], { size = 50, state = stateOf(lines) } = {}): Readable {
  const counts = { added: lines.length, updated: 0, deleted: 0 }
  const head = JSON.stringify({ kind: 'full', base: null, state, total_count: lines.length, counts })
  const text = [head, ...lines, JSON.stringify({ end: state, lines: lines.length })].map((line) => `${line}\n`).join('')
  return Readable.from(
    Array.from({ length: Math.ceil(text.length / size) }, (_, i) => text.slice(i * size, (i + 1) * size)),
  )
}

const users = fc
  .dictionary(fc.nat(11).map(idOf), fc.constantFrom('user', 'ünï'), { maxKeys: 12 })
  .map((roles) => Object.fromEntries(Object.entries(roles).sort()))
const linesOf = (roles: Record<string, string>) => Object.entries(roles).map(([id, role]) => lineOf(id, role))

t.test('compareExports lists the users that only one side has, and those that differ', async () => {
  await fc.assert(
    fc.asyncProperty(users, users, fc.integer({ min: 1, max: 200 }), async (here, there, size) => {
      const compared = await compareExports(exportOf(linesOf(here)), exportOf(linesOf(there), { size }))
      const ids = (select: (id: string) => boolean) =>
        [...new Set([...Object.keys(here), ...Object.keys(there)])].filter(select).sort()
      const expected = {
        missing: ids((id) => id in here && !(id in there)),
        extra: ids((id) => !(id in here) && id in there),
        changed: ids((id) => id in here && id in there && here[id] !== there[id]),
      }
      return (['missing', 'extra', 'changed'] as const).every(
        (kind) => `${compared[kind].ids}` === `${expected[kind]}` && compared[kind].count === expected[kind].length,
      )
    }),
  )
})

t.test('a state that does not match its users is detected', async (t) => {
  const lines = [lineOf(idOf(1), 'user')]
  const wrong = stateOf([])
  const { local, remote } = await compareExports(exportOf(lines), exportOf(lines, { state: wrong }))
  t.strictSame(local, { state: stateOf(lines), recomputed_state: stateOf(lines), total_count: 1 })
  t.match(remote, { state: wrong, recomputed_state: stateOf(lines) })
})

t.test('all differences are counted, and the first 100 listed', async (t) => {
  const lines = Array.from({ length: 1_000 }, (_, i) => lineOf(idOf(i), 'user'))
  const { missing } = await compareExports(exportOf(lines), exportOf([]))
  t.equal(missing.count, 1_000)
  t.strictSame(missing.ids.length, 100)
})

t.test('an unordered export, or one that is not full, is rejected', async (t) => {
  const ordered = () => exportOf([lineOf(idOf(1), 'user'), lineOf(idOf(2), 'user')])
  const error = { name: 'ExportError', fault: 'malformed' }
  await t.rejects(compareExports(ordered(), exportOf([lineOf(idOf(2), 'user'), lineOf(idOf(1), 'user')])), error)
  await t.rejects(compareExports(ordered(), exportOf([lineOf(idOf(1), 'user'), lineOf(idOf(1), 'user')])), error)
  for (const id of ['\u001b[2J', 'x'.repeat(100_000)])
    await t.rejects(compareExports(ordered(), exportOf([lineOf(id, 'user')])), error)
})
