import { deepEqual, equal, match } from 'node:assert/strict'
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Check, command, PROJECT } from './check.ts'

const read = (path: string) => readFile(join(PROJECT, path), 'utf8')

/** The scripts of package.json that write files of the repository from the code. */
const GENERATORS = ['settings-table', 'locales', 'client-types']

const cleanTree: Check = {
  name: 'clean tree',
  async run() {
    equal(await command('git', ['status', '--porcelain']), '', 'changes are not committed')
    return (await command('git', ['log', '-1', '--format=%h %s'])).trim()
  },
}

const version: Check = {
  name: 'version',
  async run() {
    const { version } = JSON.parse(await read('package.json'))
    equal(JSON.parse(await read('package-lock.json')).version, version, 'package-lock.json has another version')
    const [first = ''] = /^## .*$/m.exec(await read('CHANGELOG.md')) ?? []
    match(
      first,
      /^## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d$/,
      'the first entry of CHANGELOG.md is not a version with its date',
    )
    equal(/\[(.*)\]/.exec(first)?.[1], version, 'the first entry of CHANGELOG.md is another version')
    equal(
      /newTag: (.*)/.exec(await read('kubernetes/kustomization.yaml'))?.[1],
      version,
      'kubernetes/ has another version',
    )
    return version
  },
}

const lockfile: Check = {
  name: 'lockfile',
  async run() {
    const packages: Record<string, { resolved?: string; link?: boolean }> = JSON.parse(
      await read('package-lock.json'),
    ).packages
    const addressed = Object.entries(packages).flatMap(([name, { resolved }]) => (resolved ? [name] : []))
    deepEqual(addressed, [], 'package-lock.json has download addresses')
    return `${Object.keys(packages).length - 1} packages, no download addresses`
  },
}

/** Writes the generated files again, in a clone, and compares. */
const generatedFiles: Check = {
  name: 'generated files',
  async run() {
    const { scripts } = JSON.parse(await read('package.json'))
    const present = GENERATORS.filter((name) => name in scripts)
    const clone = await mkdtemp(join(tmpdir(), 'usersync-generated-'))
    try {
      await command('git', ['clone', '--quiet', PROJECT, clone])
      await symlink(join(PROJECT, 'node_modules'), join(clone, 'node_modules'))
      for (const name of present) await command('npm', ['run', '--silent', name], { cwd: clone })
      const changes = await command('git', ['status', '--porcelain', '--', ':!node_modules'], { cwd: clone })
      equal(changes, '', 'generated files are not current')
    } finally {
      await rm(clone, { recursive: true, force: true })
    }
    return present.join(', ')
  },
}

export const REPOSITORY: Check[] = [cleanTree, version, lockfile, generatedFiles]
