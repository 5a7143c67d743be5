import { deepEqual, equal } from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { registerHooks } from 'node:module'
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
      const typed: string[] = []
      const files = (await readdir(join(PROJECT, 'kubernetes'))).filter((name) => name !== 'kustomization.yaml')
      for (const file of files) {
        const manifest = parse(await readFile(join(PROJECT, 'kubernetes', file), 'utf8'))
        const { apiVersion, kind } = manifest
        const models = await import(join(folder, 'node_modules/kubernetes-models', apiVersion, 'index.js'))
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

/** The parts that are used of the parser of GitHub, which has no types that fit Node's resolution. */
interface WorkflowParser {
  parseWorkflow(file: { name: string; content: string }, trace: object): { context: object; value?: object }
  convertWorkflowTemplate(context: object, value?: object): Promise<{ errors?: { Message: string }[] }>
  NoOperationTraceWriter: new () => object
}

/** GitHub's own parser: keys, and the expressions with their functions and variables. */
const workflow: Check = {
  name: 'workflow',
  run: () =>
    withPackages(['@actions/workflow-parser@0.3.61'], async (folder) => {
      // It is written for bundlers: it imports JSON files without saying so.
      registerHooks({
        load: (url, context, next) =>
          next(url, url.endsWith('.json') ? { ...context, importAttributes: { type: 'json' } } : context),
      })
      const parser: WorkflowParser = await import(join(folder, 'node_modules/@actions/workflow-parser/dist/index.js'))
      const findings = async (content: string) => {
        const { context, value } = parser.parseWorkflow(
          { name: 'load-test.yml', content },
          new parser.NoOperationTraceWriter(),
        )
        const { errors = [] } = await parser.convertWorkflowTemplate(context, value)
        return errors.map(({ Message }) => Message)
      }
      const content = await readFile(join(PROJECT, 'examples/github-actions/load-test.yml'), 'utf8')
      deepEqual(await findings(content), [])
      equal((await findings(content.replace('always()', 'alway()'))).length, 1, 'the parser finds no mistake')
      return "no finding of GitHub's parser"
    }),
}

export const MANIFESTS: Check[] = [compose, kubernetes, workflow]
