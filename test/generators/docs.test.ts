import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { GENERATORS } from '../../src/generators/compile-population.ts'
import { suite } from '../suite.ts'
import { faultsOf, populationOf } from './make-population.ts'

const t = suite()
const page = readFileSync(join(import.meta.dirname, '../../docs/generators.md'), 'utf8')

/** Blocks of settings, followed by a block of users or faults, if any. */
const examples = [...page.matchAll(/```json\n([^`]*)\n```(?:\n```(jsonl|text)\n([^`]*)\n```)?/g)].map(
  ([, settings = '', kind, output = '']) => ({ settings, kind, lines: output.split('\n') }),
)

t.test('the page shows every generator, with the output that it has', (t) => {
  const shown = examples.filter(({ kind }) => kind === 'jsonl')
  for (const name of Object.keys(GENERATORS)) {
    t.ok(
      shown.some(({ settings }) => settings.includes(`"${name}"`)),
      name,
    )
  }
  t.end()
})

t.test('the outputs of the page are true', (t) => {
  for (const { settings, kind, lines } of examples) {
    const population = { seed: 'docs', count: 1_000, custom_attributes: JSON.parse(settings) }
    if (kind === 'text') t.strictSame(lines, faultsOf(population), settings)
    else if (kind === 'jsonl') {
      const { attributesJson } = populationOf(population)
      t.strictSame(
        lines,
        lines.map((_, index) => attributesJson(index + 1)),
        settings,
      )
    } else t.strictSame(faultsOf(population), [], settings)
  }
  t.end()
})
