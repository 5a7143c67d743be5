import { lstat, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fakeService } from '../pull/fake-service.ts'
import { outFolder } from '../pull/pull-process.ts'
import { suite } from '../suite.ts'
import { usersync } from './call.ts'

const t = suite()

/* `usersync users export FILE` replaces a file as a whole, or not at all. */

const folder = await outFolder(t)
const out = join(folder, 'users.csv')

/** Starts an export. `receiving` resolves when it has something to write. */
function begin(url: string, file: string) {
  const receiving = Promise.withResolvers<void>()
  const options = { isTty: true, onStderr: () => receiving.resolve() }
  return { receiving: receiving.promise, ended: usersync(['users', 'export', file, '--url', url], options) }
}

t.test('two exports to one file at once: each puts a whole one in place', async (t) => {
  const responses: ServerResponse[] = []
  const url = await fakeService(t, (_, response) => {
    response.write(`begin ${responses.push(response)}\n`)
  })
  const first = begin(url, out)
  await first.receiving
  const second = begin(url, out)
  await second.receiving
  for (const [i, { ended }] of [first, second].entries()) {
    responses[i]?.end('end\n')
    t.match(await ended, { code: 0 })
    t.equal(await readFile(out, 'utf8'), `begin ${i + 1}\nend\n`)
  }
  t.strictSame(await readdir(folder), ['users.csv'])
})

const WHOLE = {
  csv: 'id,username\n1,ann\n',
  json: '{"kind":"full","users":[{"id":"1"}]}\n',
  ndjson: '{"kind":"full"}\n{"id":"1"}\n{"end":"u1-0","lines":1}\n',
}

t.test('a body that is cut, and ends as if it were whole, is exit code 3 and leaves the file as it was', async (t) => {
  for (const [format, whole] of Object.entries(WHOLE)) {
    let body = ''
    const url = await fakeService(t, (_, response) => {
      // As to a proxy that speaks HTTP/1.0, for which the end of the connection is the end of the body.
      Object.assign(response, { shouldKeepAlive: false, useChunkedEncodingByDefault: false })
      response.end(body)
    })
    const file = join(folder, `cut.${format}`)
    await writeFile(file, 'before')
    for (const cut of [0, 5, whole.length - 1]) {
      body = whole.slice(0, cut)
      t.match(await usersync(['users', 'export', file, '--url', url]), {
        code: 3,
        out: '',
        err: /ended before its last/,
      })
      t.equal(await readFile(file, 'utf8'), 'before', `${format} ${cut}`)
    }
    body = whole
    t.match(await usersync(['users', 'export', file, '--url', url]), { code: 0, err: '' })
    t.equal(await readFile(file, 'utf8'), whole)
  }
  t.notMatch((await readdir(folder)).join(), /part/)
})

t.test('what is no regular file is not replaced', async (t) => {
  const closed: Promise<true>[] = []
  const url = await fakeService(t, (_, response) => {
    response.write('id,username\n') // and no end
    closed.push(new Promise((resolve) => response.on('close', () => resolve(true))))
  })
  const link = join(folder, 'link.csv')
  await symlink(out, link)
  for (const file of [link, folder]) {
    const done = await usersync(['users', 'export', file, '--format', 'csv', '--url', url])
    t.match(done, { code: 2, err: /is not a regular file/ }, file)
  }
  t.ok((await lstat(link)).isSymbolicLink())
  for (const each of closed)
    t.ok(await Promise.race([each, sleep(10_000, false, { ref: false })]), 'the service sends no longer')
})
