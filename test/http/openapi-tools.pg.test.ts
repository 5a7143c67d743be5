import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { descriptionTypes } from '../../scripts/client-types/render.ts'
import { CHILD_ENV } from '../child-env.ts'
import { suite } from '../suite.ts'
import { startService } from './service.ts'

const t = suite()

/*
 * What others make of the description: Redocly's lint, and types for a client. Both tools and their 34 packages are 59 MB, too much for
 * a development dependency of each checkout; .ci/run installs them beside it and sets OPENAPI_TOOLS to their folder.
 */

const { OPENAPI_TOOLS: tools } = process.env
const run = promisify(execFile)
const faultOf = ({ stdout, message }: { stdout?: string; message: string }) => stdout || message

/** No telemetry, no look-up of newer versions. */
const QUIET = { REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' }

/** A client as its users write it: fetch, and nothing but the types of the description. */
const CLIENT = `
import type { components, operations, paths } from './usersync.js'

type Body = operations['createBatch']['requestBody']['content']['application/json']
type Batch = paths['/v1/batches']['post']['responses'][201]['content']['application/json']
type Rejected = operations['createBatch']['responses'][422]['content']['application/problem+json']

export async function createBatch(body: Body): Promise<Batch | Rejected['code']> {
  const headers = { 'content-type': 'application/json', prefer: 'wait=30' }
  const response = await fetch('/v1/batches', { method: 'POST', headers, body: JSON.stringify(body) })
  if (response.status === 201) return (await response.json()) as Batch
  return ((await response.json()) as Rejected).code
}

export async function* users(): AsyncGenerator<components['schemas']['User']> {
  type Page = operations['listUsers']['responses'][200]['content']['application/json']
  let cursor: string | null = ''
  while (cursor !== null) {
    const page = (await (await fetch(\`/v1/users?cursor=\${cursor}\`)).json()) as Page
    yield* page.items
    cursor = page.next_cursor
  }
}

const code: Rejected['code'] = 'domain_not_reserved'
// @ts-expect-error: the operation has no such problem
const other: Rejected['code'] = 'lease_lost'
// @ts-expect-error: count is required
export const result = [code, other, createBatch({ label: 'x' })]
`

t.test('tools read the description', { skip: tools ? false : 'OPENAPI_TOOLS is not set' }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'usersync-openapi-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const { call } = await startService(t, { MAX_WORKERS: '1' })
  await writeFile(join(folder, 'openapi.json'), (await call('GET', '/openapi.json')).raw)
  const tool = (name: string, ...args: string[]) =>
    run(join(tools ?? '', 'node_modules/.bin', name), args, { cwd: folder, env: { ...CHILD_ENV, ...QUIET } })

  await t.test('Redocly finds nothing, by its strictest rules', async (t) => {
    const options = ['--extends=recommended-strict', '--format=json']
    const { stdout } = await tool('redocly', 'lint', ...options, 'openapi.json').catch((error) => error) // it exits with 1
    t.strictSame(JSON.parse(stdout).problems, [])
  })

  await t.test('the types of the client are those that `npm run client-types` makes', async (t) => {
    const types = await readFile(new URL('../../client/description.ts', import.meta.url), 'utf8')
    const made = await descriptionTypes(await readFile(join(folder, 'openapi.json'), 'utf8'))
    const withoutFingerprint = (text: string) => text.slice(text.indexOf('\n')) // it depends on settings too
    t.equal(withoutFingerprint(types), withoutFingerprint(made))
  })

  await t.test('the types of openapi-typescript compile, and reject what the service would', async (t) => {
    await tool('openapi-typescript', 'openapi.json', '-o', 'usersync.d.ts')
    await writeFile(join(folder, 'client.ts'), CLIENT)
    const options = ['--strict', '--noEmit', '--target', 'es2022', '--module', 'nodenext', '--lib', 'es2022,dom']
    const compiled = tool('tsc', ...options, '--skipLibCheck', 'false', 'client.ts')
    t.equal(await compiled.then(({ stdout }) => stdout, faultOf), '')
  })
})
