import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { GENERATOR_VERSION } from '../../src/generators/draws.ts'
import { LOCALES } from '../../src/generators/locales.ts'
import { suite } from '../suite.ts'
import { everyGenerator } from './every-generator.ts'
import { populationOf } from './make-population.ts'

const t = suite()

/**
 * A batch that names version 1 has these users on every server, for ever. If this test fails, values have changed: undo the change, or
 * add version 2 beside version 1. Never edit the files in golden/.
 */
const read = (file: string) => readFileSync(join(import.meta.dirname, 'golden', file), 'utf8')

t.test('1,000 users of version 1 are those of the golden file', (t) => {
  t.equal(GENERATOR_VERSION, 1)
  const population = populationOf({
    seed: 'golden',
    custom_attributes: everyGenerator,
    role: { $choice: { user: 9, admin: 1 } },
    username_pattern: '{plan}.{color}.{n}@example.com',
  })
  const lines = Array.from({ length: 1000 }, (_, index) => {
    const n = index + 1
    return `${population.usernamePattern(n)} ${population.role(n)} ${population.attributesJson(n)}\n`
  })
  t.equal(lines.slice(0, 20).join(''), read('v1-first-20.txt'))
  t.equal(createHash('sha256').update(lines.join('')).digest('hex'), read('v1.sha256').trim(), 'all 1,000')
  t.end()
})

t.test('1,000 users with names, places and phones of all locales are those of the golden file', (t) => {
  const lines = LOCALES.flatMap((locale) => {
    const population = populationOf({
      seed: 'golden',
      locale,
      custom_attributes: {
        first: { $name: 'first' },
        last: { $name: 'last' },
        full: { $name: 'full' },
        home: { $place: 'country' },
        line: { $template: '{street}, {postcode} {city}' },
        street: { $place: 'street' },
        postcode: { $place: 'postcode' },
        city: { $place: 'city' },
        phone: { $phone: true },
      },
      username_pattern: '{first}.{last}.{n}',
    })
    return Array.from({ length: 125 }, (_, index) => {
      return `${locale} ${population.usernamePattern(index + 1)} ${population.attributesJson(index + 1)}\n`
    })
  })
  const shown = lines.filter((_, index) => index % 50 === 0)
  t.equal(shown.join(''), read('v1-words-each-50th.txt'))
  t.equal(createHash('sha256').update(lines.join('')).digest('hex'), read('v1-words.sha256').trim(), 'all 1,000')
  t.end()
})
