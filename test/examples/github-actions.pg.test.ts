import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { parse } from 'yaml'
import { isInstalled, run } from '../../examples/check/command.ts'
import { startRecorder } from '../../examples/check/recorder.ts'
import { sharedService } from '../http/shared-service.ts'
import { isFull } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/*
 * Runs the shell steps of examples/github-actions/load-test.yml in order, as a runner of GitHub does. `npm run release` checks the
 * syntax with actionlint.
 */

interface Step {
  name?: string
  id?: string
  if?: string
  env?: Record<string, string>
  run?: string
}

const PROJECT = fileURLToPath(new URL('../..', import.meta.url))
/** npm may need it to reach the registry; runners of GitHub do not. */
const { NODE_EXTRA_CA_CERTS = '' } = process.env
const INSTALL = 'Install the load generator'
/** The only condition is `always() && steps.users.outputs.batch != ''`. */
const OUTPUT = 'steps.users.outputs.batch'
const { jobs } = parse(await readFile(join(PROJECT, 'examples/github-actions/load-test.yml'), 'utf8'))
const { env, steps }: { env: Record<string, string>; steps: Step[] } = jobs['load-test']

/** Runs the steps with these values of `${{ name }}`. Returns the names of those that ran and the one that failed. */
async function runSteps(folder: string, values: Record<string, string>) {
  const outputs = join(folder, 'outputs')
  await writeFile(outputs, '')
  const fill = (text: string) => text.replace(/\$\{\{ (.*?) \}\}/g, (_, name) => values[name] ?? '')
  const filled = (texts: Record<string, string> = {}) =>
    Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, fill(text)]))
  const ran: (string | undefined)[] = []
  let failure: { step: string | undefined; errors: string } | undefined
  for (const step of steps) {
    if (step.run === undefined || (step.if ? values[OUTPUT] === undefined : failure)) continue
    if (!isFull && step.name === INSTALL) continue // node_modules of the project has the load generator
    const { code, output, errors } = await run('bash', ['--noprofile', '--norc', '-eo', 'pipefail', '-c', step.run], {
      cwd: folder,
      env: { ...filled(env), ...filled(step.env), GITHUB_OUTPUT: outputs, NODE_EXTRA_CA_CERTS },
      signal: AbortSignal.timeout(300_000),
    })
    ran.push(step.name)
    if (code !== 0) failure ??= { step: step.name, errors: output + errors }
    for (const [, name, value = ''] of (await readFile(outputs, 'utf8')).matchAll(/^(\w+)=(.*)$/gm)) {
      values[`steps.${step.id}.outputs.${name}`] = value
    }
  }
  return { ran, failure }
}

/** A checkout with the load test in it. */
async function checkout(t: Test): Promise<string> {
  const folder = t.testdir()
  await mkdir(join(folder, 'load-test'))
  await cp(join(PROJECT, 'examples/autocannon/run.mjs'), join(folder, 'load-test/run.mjs'))
  if (!isFull) await symlink(join(PROJECT, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

const skip = (await isInstalled('jq')) ? false : 'jq is not installed'

const valuesFor = (url: string, target: string, run: number) => ({
  'vars.USERSYNC_URL': url,
  'secrets.USERSYNC_KEY': 'k'.repeat(32),
  'vars.TARGET_URL': target,
  'inputs.users': '200',
  'inputs.seconds': '5',
  'github.run_id': String(run),
  'github.run_attempt': '1',
})

t.test('a workflow deletes its users also if the load test fails', { skip }, async (t) => {
  const { url, call } = await sharedService(t)
  const { ran, failure } = await runSteps(await checkout(t), valuesFor(url, '', 1))
  t.match(failure, { step: 'Load test' })
  t.strictSame(ran.slice(-4), ['Create users', 'Fetch the users', 'Load test', 'Delete the users'])
  t.match((await call('GET', '/v1/states/current')).json, { total_count: 0 })
  const batches = (await call('GET', '/v1/batches')).json
  t.match(batches, { items: [{ label: 'github-1-1', status: 'completed', created_count: 200 }] })
})

if (isFull)
  t.test('a workflow creates users, uses them, and deletes them', { skip }, async (t) => {
    const { url, call } = await sharedService(t)
    const recorder = await startRecorder()
    t.teardown(() => recorder.close())
    const { ran, failure } = await runSteps(await checkout(t), valuesFor(url, recorder.url, 2))
    t.equal(failure, undefined)
    const names = steps.flatMap(({ run, name }) => (run ? [name] : []))
    t.strictSame(ran, names, 'every step ran')
    const used = [...recorder.take().requests.keys()]
    t.ok(used.length > 0)
    t.ok(
      used.every((name) => /^load_\w+_\d+@example\.com$/.test(name)),
      'only users of the batch',
    )
    t.match((await call('GET', '/v1/states/current')).json, { total_count: 0 })
  })
