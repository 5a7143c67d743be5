import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packagesOf } from './imports.ts'

type Versions = Record<string, string>

interface Manifest {
  version: string
  description: string
  license: string
  dependencies: Versions
  optionalDependencies: Versions
}

/** The program of the package. */
const BIN = 'cli/usersync.ts'

/** The driver has a patch, which npm applies only in this project. So the package contains the patched one. */
const BUNDLED = ['postgres']

/** The patch is applied already. */
const NOT_PACKED = ['patch-package']

/**
 * Packages of the server that demand a newer Node than 20. npm compares that with the Node that runs npm, not with the one that runs the
 * server, and leaves out an optional dependency whose tree has such a package (arborist's `#checkEngineAndPlatform`). For a dependency it only
 * warns, so these are dependencies: cookie belongs to fastify, content-disposition to @fastify/static. The packages of
 * @opentelemetry demand a newer Node too, but are 13 MB: npm on Node 20 leaves them out, and tracing.ts says so if traces are configured.
 */
export const NEWER_NODE = ['content-disposition', 'cookie', 'ldapts']

/**
 * Returns the package.json of the package. What the command and the client load is a dependency. What only the server loads is an
 * optional dependency, so that `npm install --omit=optional` installs a load generator without a server.
 */
export function packedManifest(root: string): Record<string, unknown> {
  const project = readJson<Manifest>(root, 'package.json')
  const { packages } = readJson<{ packages: Record<string, { version: string }> }>(root, 'package-lock.json')
  const { version, description, license } = project
  const needed = packagesOf(root, globSync('{cli,client}/**/*.ts', { cwd: root }))
  const own = Object.entries(project.dependencies).filter(([name]) => !NOT_PACKED.includes(name))
  const isNeeded = ([name]: [string, string]) => [...needed, ...NEWER_NODE].includes(name)
  const newer = NEWER_NODE.map((name): [string, string] => [name, packages[`node_modules/${name}`]?.version ?? ''])
  return {
    ...{ name: 'usersync', version, description, license },
    keywords: ['load testing', 'test users', 'test data', 'k6', 'playwright'],
    type: 'module',
    engines: { node: '>=20' },
    exports: {
      './client': { types: './client/index.d.ts', default: './client/index.js' },
      './package.json': './package.json',
    },
    ...(existsSync(join(root, BIN)) && { bin: { usersync: BIN.replace(/ts$/, 'js') } }),
    files: ['cli', 'client', 'migrations', 'src', 'ui', 'CHANGELOG.md'],
    dependencies: Object.fromEntries([...own.filter(isNeeded), ...newer]),
    optionalDependencies: Object.fromEntries([
      ...own.filter((each) => !isNeeded(each)),
      ...Object.entries(project.optionalDependencies),
    ]),
    bundleDependencies: BUNDLED,
  }
}

const readJson = <Json>(root: string, name: string) => JSON.parse(readFileSync(join(root, name), 'utf8')) as Json
