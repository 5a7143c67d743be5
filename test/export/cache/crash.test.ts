import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CHILD_ENV } from '../../child-env.ts'
import { suite } from '../../suite.ts'
import { filesIn, makeCache, makeFolder, text, textOf } from './harness.ts'

const t = suite()

const CHILD = fileURLToPath(new URL('growing-child.ts', import.meta.url))

t.test('a process killed during an export leaves only a partial file, which is removed later', async (t) => {
  const folder = await makeFolder(t)
  const child = spawn(process.execPath, [CHILD, folder], { env: CHILD_ENV, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const ended = once(child, 'exit')
  await once(child.stdout, 'data')
  const alive = await makeCache(t, folder)
  t.match(await filesIn(folder), [/\.partial$/], 'a file that a live process is writing is kept')
  child.kill('SIGKILL')
  await ended
  const [partial = ''] = await filesIn(folder)
  t.ok((await stat(join(folder, partial))).size > 0)

  const cache = await makeCache(t, folder)
  const { stream } = await cache.open('key', 'identity', text('whole'))
  t.equal(await textOf(stream), 'whole')
  await cache.close()
  t.strictSame(await filesIn(folder), [partial.slice(0, 64), partial].sort())
  const again = await alive.open('key', 'identity', text('not used'))
  t.equal(await textOf(again.stream), 'whole')

  const longAgo = new Date(Date.now() - 16 * 60_000)
  await utimes(join(folder, partial), longAgo, longAgo)
  await makeCache(t, folder)
  t.strictSame(await filesIn(folder), [partial.slice(0, 64)])
})
