import { type Check, command, Skipped } from './check.ts'

/** The tests that compare the repository with its golden files and generated documents. They take seconds. */
const GOLDEN = [
  'test/readme.test.ts',
  'test/generators/golden.test.ts',
  'test/batches/population-golden.pg.test.ts',
  'test/http/openapi.pg.test.ts',
]

export const ci = ({ isSkipped }: { isSkipped: boolean }): Check => ({
  name: '.ci/run',
  async run() {
    if (isSkipped) {
      await command('npm', ['test', '--', ...GOLDEN])
      throw new Skipped('--skip-ci; the golden files and the documents are current')
    }
    const output = await command('bash', ['.ci/run'], { minutes: 90 })
    return output.trimEnd().split('\n').at(-1) ?? ''
  },
})
