// `npm run release`: checks everything that a release needs and prints a table. It publishes nothing (docs/releases.md).
//
//   npm run release -- --skip-ci           without .ci/run, which takes an hour
//   npm run release -- --only image        one check, or several
//   npm run release -- --public-base       the image on its public base, not on a stand-in made of packages

import { parseArgs, styleText } from 'node:util'
import { type Check, Skipped } from './check.ts'
import { ci } from './ci.ts'
import { image } from './image.ts'
import { MANIFESTS } from './manifests.ts'
import { npmPackage } from './package.ts'
import { promises } from './promises.ts'
import { REPOSITORY } from './repository.ts'

const { values } = parseArgs({
  options: {
    'skip-ci': { type: 'boolean', default: false },
    'public-base': { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
  },
})

const CHECKS: Check[] = [
  ...REPOSITORY,
  promises,
  ...MANIFESTS,
  npmPackage,
  image({ hasPublicBase: values['public-base'] }),
  ci({ isSkipped: values['skip-ci'] }),
]

const chosen = CHECKS.filter(({ name }) => values.only?.includes(name) ?? true)
const width = Math.max(...CHECKS.map(({ name }) => name.length))
const counts = { passed: 0, failed: 0, skipped: 0 }
for (const { name, run } of chosen) {
  const begin = performance.now()
  const [outcome, detail] = await run().then(
    (detail) => ['passed', detail] as const,
    (error: Error) => [error instanceof Skipped ? 'skipped' : 'failed', error.message] as const,
  )
  counts[outcome] += 1
  const seconds = ((performance.now() - begin) / 1000).toFixed(1).padStart(7)
  const color = ({ passed: 'green', failed: 'red', skipped: 'yellow' } as const)[outcome]
  process.stdout.write(`${name.padEnd(width)}  ${styleText(color, outcome.padEnd(7))} ${seconds} s  ${detail}\n`)
}
process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`)
if (counts.failed > 0 || chosen.length === 0) process.exitCode = 1
