import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { CHILD_ENV } from '../child-env.ts'
import { sharedService } from '../http/shared-service.ts'
import { run } from '../package/installed.ts'
import { suite } from '../suite.ts'

const t = suite()

const ROOT = resolve(import.meta.dirname, '../..')

/** Two strictnesses, because TypeScript's users have them: `strict`, and what this project uses. */
const STRICT = ['--strict', '--noEmit', '--target', 'es2022', '--module', 'nodenext', '--types', 'node']
const OPTIONS = ['--lib', 'es2022,dom,dom.iterable,dom.asynciterable,esnext.disposable', '--allowImportingTsExtensions']

t.test('the tour of docs/client.md compiles and runs as pasted', async (t) => {
  const page = await readFile(join(ROOT, 'docs/client.md'), 'utf8')
  const parts = [...page.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, part]) => part)
  const folder = t.testdir({ 'tour.mts': parts.join('\n') })
  const tour = join(folder, 'tour.mts')
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  const { url } = await sharedService(t)
  const env = { ...CHILD_ENV, USERSYNC_URL: url }
  const failed = ({ stdout, message }: { stdout?: string; message: string }) => stdout || message
  const options = [...STRICT, ...OPTIONS, '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess']
  const compiled = run(process.execPath, [tsc, '--ignoreConfig', ...options, tour], { cwd: ROOT, env })
  t.equal(await compiled.then(({ stdout }) => stdout, failed), '')
  const { stdout } = await run(process.execPath, [tour], { env })
  t.match(stdout, /^100 %, 1000 users$/m)
  t.match(stdout, /^999 of 1,000 have the plan gold$/m)
  t.match(stdout, /^full 1000 0 0 now 1000\ndelta 1 0 0 now 1001$/m)
  t.match(stdout, /^\S+ (TestPass123!|null)$/m)
  t.match(stdout, /^422 domain_not_reserved: .*\S+$/m)
  t.match(stdout, /^1001 test users, 1000 deleted$/m)
})
