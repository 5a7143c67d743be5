import fc from 'fast-check'
import { ExportError } from '../../src/protocol/read-export.ts'
import { stateOf } from '../../src/protocol/state.ts'
import { suite } from '../suite.ts'
import { applyExport, type Held } from './apply-export.ts'

const t = suite()

const lineOf = (id: number, role = 'user') => JSON.stringify({ id: `id-${id}`, role })
const heldOf = (lines: string[]): Held => ({
  state: stateOf(lines),
  lines: new Map(lines.map((line) => [JSON.parse(line).id, line])),
})

interface Body {
  kind: 'full' | 'delta' | 'unchanged'
  base: string | null
  deleted?: string[]
  lines: string[]
  state: string
  total: number
}

function bodyOf({ kind, base, deleted = [], lines, state, total }: Body): string {
  const counts = { added: lines.length, updated: 0, deleted: deleted.length }
  const rows = [
    JSON.stringify({ kind, base, state, total_count: total, counts }),
    ...deleted.map((id) => JSON.stringify({ deleted: id })),
    ...lines,
    JSON.stringify({ end: state, lines: lines.length }),
  ]
  return `${rows.join('\n')}\n`
}

const full = (lines: string[]) =>
  bodyOf({ kind: 'full', base: null, lines, state: stateOf(lines), total: lines.length })

/** The delta from one set of lines to another. */
function delta(from: string[], to: string[]): string {
  const held = heldOf(from)
  const present = heldOf(to)
  return bodyOf({
    kind: 'delta',
    base: held.state ?? null,
    deleted: [...held.lines.keys()].filter((id) => !present.lines.has(id)),
    lines: to.filter((line) => !from.includes(line)),
    state: present.state ?? '',
    total: to.length,
  })
}

const NOTHING: Held = { state: undefined, lines: new Map() }
const users = fc
  .uniqueArray(fc.nat(20), { maxLength: 10 })
  .chain((ids) => fc.tuple(...ids.map((id) => fc.constantFrom('user', 'ünï ☃').map((role) => lineOf(id, role)))))
  .map((lines) => lines as string[])

/** Whether the export is rejected as an ExportError, without changes to `held`. */
function isRefused(held: Held, body: string): boolean {
  const before = JSON.stringify([held.state, ...held.lines])
  try {
    applyExport(held, body)
    return false
  } catch (error) {
    return error instanceof ExportError && JSON.stringify([held.state, ...held.lines]) === before
  }
}

t.test('a full export leads from anything to its state, and a delta from its base', (t) => {
  fc.assert(
    fc.property(users, users, (from, to) => {
      for (const body of [full(to), delta(from, to)]) {
        const { held } = applyExport(heldOf(from), body)
        t.strictSame(new Map([...held.lines].sort()), new Map([...heldOf(to).lines].sort()))
        t.equal(held.state, stateOf(to))
      }
    }),
    { numRuns: 50 },
  )
  t.strictSame(applyExport(NOTHING, full([])).held, { state: `u1-${'0'.repeat(64)}`, lines: new Map() })
  t.end()
})

t.test('an unchanged export keeps what is held', (t) => {
  const held = heldOf([lineOf(1)])
  const state = held.state ?? ''
  const body = bodyOf({ kind: 'unchanged', base: state, lines: [], state, total: 1 })
  t.strictSame(applyExport(held, body).held, held)
  t.ok(isRefused(NOTHING, body))
  t.end()
})

t.test('a body cut at any place is rejected', (t) => {
  const from = [lineOf(1), lineOf(2)]
  const to = [lineOf(2, 'ünï'), lineOf(3)]
  for (const body of [full(to), delta(from, to), full([])]) {
    for (let length = 0; length < body.length; length++) {
      if (!isRefused(heldOf(from), body.slice(0, length))) t.fail(`the first ${length} characters of ${body}`)
    }
  }
  t.end()
})

t.test('a delta for another base is rejected', (t) => {
  fc.assert(
    fc.property(users, users, users, (other, from, to) => {
      fc.pre(stateOf(other) !== stateOf(from))
      return isRefused(heldOf(other), delta(from, to)) && isRefused(NOTHING, delta(from, to))
    }),
  )
  t.end()
})

t.test('lines that do not match the state are rejected', (t) => {
  const from = [lineOf(1), lineOf(2)]
  const to = [lineOf(2), lineOf(3), lineOf(4)]
  const held = heldOf(from)
  const wrong = {
    'a changed line': full(to).replace('"role":"user"', '"role":"root"'),
    'a missing line': full(to).replace(`${lineOf(3)}\n`, ''),
    'a duplicate line': full(to).replace(lineOf(3), `${lineOf(3)}\n${lineOf(3)}`),
    'an extra user': full(to).replace(lineOf(3), `${lineOf(3)}\n${lineOf(9)}`),
    'a different number of lines': full(to).replace('"lines":3', '"lines":2'),
    'a different total': full(to).replace('"total_count":3', '"total_count":4'),
    'a different state at the end': full(to).replace(/"end":"u1-./, '"end":"u1-x'),
    'a missing deletion': delta(from, to).replace('{"deleted":"id-1"}\n', ''),
    'an extra deletion': delta(from, to).replace('{"deleted":"id-1"}', '{"deleted":"id-1"}\n{"deleted":"id-2"}'),
    'two bodies in one': full(to) + full(to),
    'a text that is not an export': 'Not Found\nor what not\n',
    'other JSON': '1\nnull\n',
  }
  for (const [what, body] of Object.entries(wrong)) t.ok(isRefused(held, body), what)
  t.end()
})
