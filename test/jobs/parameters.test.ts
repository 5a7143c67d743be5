import fc from 'fast-check'
import { type Parameters, type ParameterValue, readParameters, type TYPES } from '../../src/jobs/parameters.ts'
import { suite } from '../suite.ts'

const t = suite()

/** For each type: valid texts with their value in the record, and invalid texts. */
const TABLE: Record<keyof typeof TYPES, { taken: [text: string, value: ParameterValue][]; refused: string[] }> = {
  text: {
    taken: [
      ['a b', 'a b'],
      ['--x', '--x'],
      ['bücher 店', 'bücher 店'],
    ],
    refused: ['', 'a\nb', 'a\u0000', 'a\ud800', 'x'.repeat(201)],
  },
  integer: {
    taken: [
      ['0', 0],
      ['-7', -7],
      ['007', 7],
      ['999999999999999', 999999999999999],
      ['-0', 0],
    ],
    refused: ['1.5', '1e3', '', 'x', '1000000000000000', '0x10', ' 1', '+1'],
  },
  boolean: {
    taken: [
      ['true', true],
      ['false', false],
    ],
    refused: ['True', '1', 'yes', '', 'toString', '__proto__'],
  },
  date: {
    taken: [
      ['2026-11-22', '2026-11-22'],
      ['2024-02-29', '2024-02-29'],
    ],
    refused: ['2023-02-29', '2026-13-01', '2026-1-1', '22.11.2026', '', '0000-01-01'],
  },
  list: {
    taken: [
      ['a', ['a']],
      ['a,b', ['a', 'b']],
      ['a,,b', ['a', '', 'b']],
    ],
    refused: [''],
  },
}

for (const [type, { taken, refused }] of Object.entries(TABLE) as [keyof typeof TYPES, (typeof TABLE)['text']][]) {
  t.test(`${type}: valid values are the same after reading them from the record`, (t) => {
    const known: Parameters = { it: { type, description: '' } }
    for (const [text, value] of taken) {
      const read = readParameters(known, ['--it', text])
      t.strictSame(read, { it: value }, text)
      t.strictSame(JSON.parse(JSON.stringify(read)), read, `${text}, through the record`)
    }
    for (const text of refused) {
      t.throws(() => readParameters(known, ['--it', text]), { name: 'JobUsageError', message: /^--it expects / }, text)
    }
    t.end()
  })
}

const KNOWN: Parameters = {
  count: { type: 'integer', isRequired: true, description: '' },
  dry_run: { type: 'boolean', description: '' },
}

t.test('the order of the parameters does not make a different run', (t) => {
  const [one, other] = [
    readParameters(KNOWN, ['--count', '1', '--dry-run', 'true']),
    readParameters(KNOWN, ['--dry-run', 'true', '--count', '01']),
  ]
  t.equal(JSON.stringify(one), JSON.stringify(other))
  t.end()
})

t.test('unknown, missing and duplicate parameters are reported with the known ones', (t) => {
  const wrong: [args: string[], message: RegExp][] = [
    [[], /--count is missing/],
    [['--cuont', '1'], /no parameter --cuont: --count N \[--dry-run true\|false\]/],
    [['count', '1'], /no parameter count/],
    [['--count', '1', '--count', '2'], /--count is set twice/],
    [['--count'], /--count expects N/],
    [['--__proto__', '1'], /no parameter/],
    [['--to-string', '1'], /no parameter/],
  ]
  for (const [args, message] of wrong) t.throws(() => readParameters(KNOWN, args), { message }, args.join(' '))
  t.end()
})

t.test('any arguments give values or a usage error', (t) => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string(), fc.constantFrom('--count', '--dry-run', '1', 'true'))), (args) => {
      try {
        return Object.keys(readParameters(KNOWN, args)).every((name) => name in KNOWN)
      } catch (error) {
        return (error as Error).name === 'JobUsageError'
      }
    }),
  )
  t.end()
})
