import { globSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { packagesOf } from '../../scripts/pack/imports.ts'
import { NEWER_NODE, packedManifest } from '../../scripts/pack/manifest.ts'
import { suite } from '../suite.ts'

const t = suite()

/* What the package.json of the npm package promises; install.pg.test.ts installs the package. */

const ROOT = resolve(import.meta.dirname, '../..')
const manifest = packedManifest(ROOT) as {
  dependencies: Record<string, string>
  optionalDependencies: Record<string, string>
  bundleDependencies: string[]
}
const own = [manifest.dependencies, manifest.optionalDependencies].flatMap(Object.keys)

t.test('the package has the client with its types, and the command, for Node 20', (t) => {
  t.match(manifest, {
    name: 'usersync',
    version: /^\d+\.\d+\.\d+$/,
    type: 'module',
    engines: { node: '>=20' },
    exports: { './client': { types: './client/index.d.ts', default: './client/index.js' }, './package.json': String },
    bin: { usersync: 'cli/usersync.js' },
  })
  t.notOk(
    'private' in manifest || 'scripts' in manifest,
    'npm may publish it, and it runs nothing when it is installed',
  )
  for (const version of [manifest.dependencies, manifest.optionalDependencies].flatMap(Object.values)) {
    t.match(version, /^\d+\.\d+\.\d+(-[\w.]+)?$/)
  }
  t.end()
})

t.test('every package that the server loads is installed with it, the command needs next to none', (t) => {
  const server = packagesOf(ROOT, ['src/server.ts', 'src/job.ts', 'src/psql.ts', 'src/batches/worker-thread.ts'])
  t.strictSame(
    server.filter((name) => !own.includes(name)),
    [],
  )
  t.ok(server.length > 20 && own.includes('preact') && own.includes('htm'))
  const command = packagesOf(ROOT, globSync('cli/*.ts', { cwd: ROOT }))
  t.strictSame(command, ['undici'])
  t.strictSame(Object.keys(manifest.dependencies).toSorted(), [...command, ...NEWER_NODE].toSorted())
  t.strictSame(manifest.bundleDependencies, ['postgres'], 'with its patch')
  t.end()
})

t.test('the client imports nothing: no packages, no modules of Node', (t) => {
  const files = globSync('client/*.ts', { cwd: ROOT })
  t.strictSame(packagesOf(ROOT, files), [])
  for (const file of files) t.notMatch(readFileSync(join(ROOT, file), 'utf8'), /'node:|process\.|\bBuffer\b/, file)
  t.end()
})

interface Locked {
  dev?: boolean
  engines?: { node?: string }
  dependencies?: Record<string, string>
}

t.test('npm on Node 20 leaves out no package of the server but @opentelemetry', (t) => {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, Locked>
  }
  const refusing = Object.entries(packages).filter(
    ([path, { dev, engines }]) => path !== '' && !dev && /^>= ?2[1-9]/.test(engines?.node ?? ''),
  )
  const names = refusing.map(([path]) => path.replace(/^.*node_modules\//, ''))
  // npm takes an older strip-json-comments, which pino-pretty accepts.
  const known = [...NEWER_NODE, 'strip-json-comments']
  t.strictSame(
    names.filter((name) => !known.includes(name) && !name.startsWith('@opentelemetry/')),
    [],
  )
  t.end()
})
