import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { brokenPromises } from '../../scripts/release/promises.ts'
import { suite } from '../suite.ts'

const t = suite()

/** What a release has, in the form of the real files. */
const RELEASED = {
  'CHANGELOG.md': '# Changelog\n\n## [1.0.0] - 2026-01-01\n\nThe first release.\n',
  'test/http/operations.json': '{ "createBatch": "POST /v1/batches", "deleteBatch": "DELETE /v1/batches/{id}" }',
  'docs/configuration.md': '| `HOST` | `127.0.0.1` |\n| `PORT` | `3000` |\n',
  'scripts/pack/manifest.ts': "  exports: {\n    './client': { types: '' },\n    './package.json': '',\n  }\n",
  'cli/exit-codes.ts': "  0: 'done',\n  1: 'failed',\n",
  'test/batches/golden/v1-population.txt': 'u1-0\n',
  'test/generators/golden/v1.sha256': '0\n',
  'migrations/0000_foundation.sql': 'select 1;\n',
}

t.test('a release that breaks a promise needs a new first number and the announcement', async (t) => {
  const root = t.testdir({})
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], { cwd: root })
  const write = (files: Record<string, string>) => {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      writeFileSync(join(root, path), text)
    }
  }
  const changelog = (version: string, text: string) =>
    write({ 'CHANGELOG.md': `# Changelog\n\n## [${version}] - 2026-02-01\n\n${text}\n\n## [1.0.0] - 2026-01-01\n` })
  write(RELEASED)
  git('init', '--quiet')
  git('add', '.')
  git('commit', '--quiet', '--message=Release')
  git('tag', 'v1.0.0')
  t.strictSame(await brokenPromises(root, 'v1.0.0'), [])

  changelog('1.1.0', 'More of everything.')
  write({
    'test/http/operations.json':
      '{ "createBatch": "POST /v1/batches", "deleteBatch": "DELETE /v1/batches/{id}", "x": "GET /x" }',
    'docs/configuration.md': '| `HOST` | `::1` |\n| `MORE` | |\n| `PORT` | `3000` |\n',
    'test/generators/golden/v2.sha256': '0\n',
    'migrations/0001_more.sql': 'select 2;\n',
  })
  git('add', '.')
  t.strictSame(await brokenPromises(root, 'v1.0.0'), [], 'additions are no break')

  write({
    'test/http/operations.json': '{ "createBatch": "PUT /v1/batches" }',
    'docs/configuration.md': '| `HOST` | |\n',
    'scripts/pack/manifest.ts': "    './client': { types: '' },\n",
    'cli/exit-codes.ts': "  0: 'done',\n",
    'test/batches/golden/v1-population.txt': 'u1-1\n',
    'migrations/0000_foundation.sql': 'select 0;\n',
  })
  rmSync(join(root, 'test/generators/golden/v1.sha256'))
  const broken = [
    'routes: createBatch',
    'routes: deleteBatch',
    'settings: PORT',
    'package exports: ./package.json',
    'exit codes: 1',
    'states: test/batches/golden/v1-population.txt',
    'generator versions: test/generators/golden/v1.sha256',
    'migrations: migrations/0000_foundation.sql',
  ]
  t.strictSame(await brokenPromises(root, 'v1.0.0'), broken)
  const announced = [
    'routes',
    'settings',
    'package exports',
    'exit codes',
    'states',
    'generator versions',
    'migrations',
  ]
  const announcement = announced.map((name) => `- **Incompatible: ${name}.** So it is.`).join('\n')
  changelog('1.1.0', announcement)
  t.strictSame(await brokenPromises(root, 'v1.0.0'), broken, 'a minor version cannot announce it')
  changelog('2.0.0', announcement)
  t.strictSame(await brokenPromises(root, 'v1.0.0'), broken.slice(-1), 'migrations never change')
})

t.test('the promises are found in the real files', (t) => {
  const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
  t.match(read('docs/configuration.md'), /^\| `PORT` \|/m)
  t.match(read('scripts/pack/manifest.ts'), /^ +'\.\/client': \{/m)
  t.match(read('cli/exit-codes.ts'), /^ {2}1: '/m)
  t.end()
})
