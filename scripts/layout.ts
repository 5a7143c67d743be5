import { globSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

/**
 * The folders of src/, foundations first. A folder imports only from those before it, so that each can be read without those
 * behind it. The files at the root of src/ (programs, service.ts, app.ts) may import everything; everything may import errors.ts.
 */
export const FOLDERS = [
  ...[
    'process',
    'database',
    'config',
    'secrets',
    'passwords',
    'systems',
    'protocol',
    'generators',
    'http',
    'client',
    'pools',
  ],
  ...['auth', 'states', 'standbys', 'users', 'audit', 'batches', 'stats', 'templates', 'import', 'export'],
  ...['sync', 'replica', 'leases', 'pull', 'telemetry', 'jobs'],
]

const MAX_LINES = 300

/** Files that programs write. */
const GENERATED = ['client/description.ts']

/** An import of one file by another, both relative to src/. */
interface Import {
  from: string
  to: string
}

/**
 * Returns one line per fault in the layout of the project in `root`: a folder that FOLDERS does not name or that is missing, an import
 * upward, an import cycle (also in client/, cli/ and among the modules of the page, in ui/), a file of more than 300 lines. Empty if there is
 * none. Imports of types count.
 */
export function layoutFaults(root: string): string[] {
  const src = join(root, 'src')
  const imports = globSync('**/*.ts', { cwd: src }).flatMap((from) => importsOf(src, from))
  const page = join(root, 'ui')
  const pageImports = globSync('**/*.js', { cwd: page }).flatMap((from) => importsOf(page, from))
  const client = join(root, 'client')
  const clientImports = globSync('*.ts', { cwd: client }).flatMap((from) => importsOf(client, from))
  const commandImports = globSync('*.ts', { cwd: join(root, 'cli') }).flatMap((from) =>
    importsOf(join(root, 'cli'), from),
  )
  const folders = globSync('*/', { cwd: src }).map((name) => name.replace(/\/$/, ''))
  return [
    ...folders.filter((name) => !FOLDERS.includes(name)).map((name) => `src/${name}/ is not in FOLDERS`),
    ...FOLDERS.filter((name) => !folders.includes(name)).map((name) => `src/${name}/ is in FOLDERS and does not exist`),
    ...imports.filter(isUpward).map(({ from, to }) => `src/${from} imports upward from src/${to}`),
    ...clientImports.filter(({ to }) => to.startsWith('..')).map(({ from, to }) => `client/${from} imports ${to}`),
    ...[imports, pageImports, clientImports, commandImports]
      .flatMap(cycles)
      .map((files) => `import cycle: ${files.join(' > ')}`),
    ...globSync('{{src,test,client,cli}/**/*.ts,ui/**/*.{js,css}}', { cwd: root, exclude: GENERATED }).flatMap((file) =>
      tooLong(root, file),
    ),
  ]
}

const importsOf = (src: string, from: string): Import[] =>
  [...readFileSync(join(src, from), 'utf8').matchAll(/(?:from|import\(|import) ?'(\.[^']+\.[tj]s)'/g)].map(
    ([, path = '']) => ({ from, to: join(dirname(from), path) }),
  )

function isUpward({ from, to }: Import): boolean {
  const [importer, imported] = [folderOf(from), folderOf(to)]
  if (importer === '' || importer === imported || to === 'errors.ts') return false
  return imported === '' || FOLDERS.indexOf(imported) > FOLDERS.indexOf(importer)
}

const folderOf = (file: string) => (file.includes('/') ? (file.split('/')[0] ?? '') : '')

/** Finds cycles depth first. Each file is visited once, so of several cycles through one file not all are found. */
function cycles(imports: Import[]): string[][] {
  const importsOf = Map.groupBy(imports, ({ from }) => from)
  const done = new Set<string>()
  const visit = (file: string, path: string[]): string[][] => {
    if (path.includes(file)) return [[...path.slice(path.indexOf(file)), file]]
    if (done.has(file)) return []
    const found = (importsOf.get(file) ?? []).flatMap(({ to }) => visit(to, [...path, file]))
    done.add(file)
    return found
  }
  return [...importsOf.keys()].flatMap((file) => visit(file, []))
}

function tooLong(root: string, file: string): string[] {
  const lines = readFileSync(join(root, file), 'utf8').split('\n').length - 1
  return lines > MAX_LINES ? [`${file} has ${lines} lines, more than ${MAX_LINES}`] : []
}

if (import.meta.main) {
  const faults = layoutFaults(resolve(import.meta.dirname, '..'))
  for (const fault of faults) process.stderr.write(`${fault}\n`)
  if (faults.length > 0) process.exitCode = 1
}
