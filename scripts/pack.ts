// Makes the npm package in dist/: `npm run pack`. Node runs no TypeScript below node_modules, so the package has JavaScript, and the
// types of the client. Prints the path of the package.

import { execFileSync } from 'node:child_process'
import { cpSync, globSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { packedManifest } from './pack/manifest.ts'

const ROOT = resolve(import.meta.dirname, '..')
const DIST = join(ROOT, 'dist')
const STAGING = join(DIST, 'package')

rmSync(DIST, { recursive: true, force: true })
for (const project of ['tsconfig.json', 'tsconfig.client.json']) compile(join(ROOT, 'scripts/pack', project))
copy(globSync(['{src,cli}/**/*.{cjs,js,json,py}', 'src/**/LICENSE', 'migrations/**', 'ui/**'], { cwd: ROOT, exclude }))
copy(['README.md', 'LICENSE', 'CHANGELOG.md'])
copy(globSync('node_modules/postgres/{package.json,README.md,src/**,types/**}', { cwd: ROOT }))
requirePatch()
writeFileSync(join(STAGING, 'package.json'), `${JSON.stringify(packedManifest(ROOT), undefined, 2)}\n`)
execFileSync('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', DIST], { cwd: STAGING })
const [name = ''] = readdirSync(DIST).filter((file) => file.endsWith('.tgz'))
process.stdout.write(`${join('dist', name)}\n`)

function compile(project: string): void {
  execFileSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', project], { stdio: 'inherit' })
}

/** What only serves the development of the page. */
function exclude(path: string): boolean {
  return path.endsWith('tsconfig.json') || path.endsWith('.d.mts') || path.endsWith('_snapshot.json')
}

function copy(paths: string[]): void {
  for (const path of paths) {
    cpSync(join(ROOT, path), join(STAGING, path), { recursive: true, filter: (from) => !exclude(from) })
  }
}

/** The service would refuse to start; see requirePatchedDriver. */
function requirePatch(): void {
  if (readFileSync(join(STAGING, 'node_modules/postgres/src/index.js'), 'utf8').includes('isConnectionError')) return
  throw new Error('node_modules/postgres lacks its patch: run `npm ci`')
}
