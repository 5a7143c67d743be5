import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { suite } from './suite.ts'

const t = suite()
const cwd = join(import.meta.dirname, '../src')

/**
 * The folders of src/, foundations first. A folder imports only from those before it, so that each can be read without those
 * behind it. The files at the root of src/ (programs, service.ts, app.ts) may import everything; everything may import errors.ts.
 */
const ORDER = [
  ...['process', 'database', 'config', 'secrets', 'passwords', 'protocol', 'generators', 'http', 'client', 'pools'],
  ...[
    'auth',
    'states',
    'users',
    'audit',
    'batches',
    'stats',
    'templates',
    'import',
    'export',
    'sync',
    'replica',
    'pull',
  ],
  ...['telemetry', 'jobs'],
]

const folderOf = (file: string) => (file.includes('/') ? (file.split('/')[0] ?? '') : '')

/** Every import of one file by another, relative to src/. */
const imports = globSync('**/*.ts', { cwd }).flatMap((from) =>
  [...readFileSync(join(cwd, from), 'utf8').matchAll(/(?:from|import\() ?'(\.[^']+\.ts)'/g)].map(([, path = '']) => ({
    from,
    to: join(dirname(from), path),
  })),
)

t.test('every folder is in ORDER, and imports go only to earlier folders', (t) => {
  t.strictSame(new Set(globSync('*/', { cwd }).map((name) => name.replace(/\/$/, ''))), new Set(ORDER))
  for (const { from, to } of imports) {
    const [importer, imported] = [folderOf(from), folderOf(to)]
    if (importer === '' || importer === imported || to === 'errors.ts') continue
    if (imported === '' || ORDER.indexOf(imported) > ORDER.indexOf(importer)) t.fail(`${from} imports ${to}`)
  }
  t.end()
})

t.test('there are no import cycles', (t) => {
  const importsOf = Map.groupBy(imports, ({ from }) => from)
  const done = new Set<string>()
  const visit = (file: string, path: string[]) => {
    if (path.includes(file)) t.fail([...path.slice(path.indexOf(file)), file].join(' > '))
    if (path.includes(file) || done.has(file)) return
    for (const { to } of importsOf.get(file) ?? []) visit(to, [...path, file])
    done.add(file)
  }
  for (const file of importsOf.keys()) visit(file, [])
  t.end()
})

t.test('only tables.ts and migrate.ts use drizzle, and the service loads no tables', (t) => {
  const drizzle = /from '(?:drizzle-orm[^']*|[^']*\/(?:tables|columns)\.ts)'/
  const users = globSync('**/*.ts', { cwd }).filter((file) => drizzle.test(readFileSync(join(cwd, file), 'utf8')))
  const mayUse = /(?:^|\/)tables\.ts$|^database\/(?:columns|migrate)\.ts$/
  t.strictSame(
    users.filter((file) => !mayUse.test(file)),
    [],
  )
  t.ok(users.includes('database/migrate.ts'), 'it looks at imports')
  t.end()
})
