import { deepEqual } from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Check, command, PROJECT, Skipped } from './check.ts'

/** What a version promises (docs/releases.md), as far as files of the repository name it. */
interface Promised {
  name: string
  /** Returns what is gone or changed in the project in `root` since its release `tag`. */
  broken(root: string, tag: string): Promise<string[]>
}

const now = (root: string, path: string) => readFile(join(root, path), 'utf8')

/** The text of a file in a release. Empty if the release did not have it. */
const then = (root: string, tag: string, path: string) =>
  command('git', ['show', `${tag}:${path}`], { cwd: root }).catch(() => '')

const changedFiles = (name: string, ...paths: string[]): Promised => ({
  name,
  async broken(root, tag) {
    // Added files promise more, so they are no change: version 2 of the generators stands beside version 1.
    const files = await command(
      'git',
      ['diff', '--name-only', '--no-renames', '--diff-filter=a', tag, '--', ...paths],
      { cwd: root },
    )
    return files.split('\n').filter((file) => file !== '')
  },
})

/** Compares the names that a file defines. Each name of the release must still mean the same. */
const lostNames = (name: string, path: string, namesIn: (text: string) => Record<string, string>): Promised => ({
  name,
  async broken(root, tag) {
    const names = namesIn(await now(root, path))
    return Object.entries(namesIn(await then(root, tag, path))).flatMap(([key, value]) =>
      names[key] === value ? [] : [key],
    )
  },
})

const namesOf = (text: string, name: RegExp) =>
  Object.fromEntries([...text.matchAll(name)].map(([, found = '']) => [found, '']))

const PROMISED: Promised[] = [
  lostNames('routes', 'test/http/operations.json', (text) => JSON.parse(text || '{}')),
  lostNames('settings', 'docs/configuration.md', (text) => namesOf(text, /^\| `([A-Z][A-Z_]+)` \|/gm)),
  lostNames('package exports', 'scripts/pack/manifest.ts', (text) => namesOf(text, /^ +'(\.\/[^']*)': [{']/gm)),
  lostNames('exit codes', 'cli/exit-codes.ts', (text) => namesOf(text, /^ {2}(\d+): '/gm)),
  changedFiles('states', 'test/batches/golden'),
  changedFiles('generator versions', 'test/generators/golden'),
  // No changelog can announce this: databases have run them.
  changedFiles('migrations', 'migrations/*.sql'),
]

/**
 * Returns what breaks a promise of the release `tag` although the newest entry of the changelog does not say so: an entry says
 * `**Incompatible: states.**`, and its version has a higher first number. Migrations never change.
 */
export async function brokenPromises(root: string, tag: string): Promise<string[]> {
  const [, version = '', entry = ''] =
    /^## \[(.*?)\].*\n([\s\S]*?)(?=^## |$(?![\s\S]))/m.exec(await now(root, 'CHANGELOG.md')) ?? []
  const isMajor = Number.parseInt(version, 10) > Number.parseInt(tag.replace(/^v/, ''), 10)
  const broken: string[] = []
  for (const { name, broken: search } of PROMISED) {
    const isAnnounced = isMajor && name !== 'migrations' && entry.includes(`**Incompatible: ${name}`)
    if (!isAnnounced) broken.push(...(await search(root, tag)).map((what) => `${name}: ${what}`))
  }
  return broken
}

/** The newest release among the ancestors of this commit, without a tag of this very commit. */
async function lastRelease(): Promise<string> {
  try {
    return (await command('git', ['describe', '--tags', '--abbrev=0', '--match', 'v[0-9]*', 'HEAD^'])).trim()
  } catch {
    throw new Skipped('no earlier release is tagged')
  }
}

export const promises: Check = {
  name: 'promises',
  async run() {
    const tag = await lastRelease()
    deepEqual(await brokenPromises(PROJECT, tag), [], `changed since ${tag}, and the changelog does not announce it`)
    return `as in ${tag}`
  },
}
