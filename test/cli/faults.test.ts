import { once } from 'node:events'
import { chmod, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { mock } from 'node:test'
import type { Test } from 'tap'
import { VERSION } from '../../client/index.ts'
import { freePort } from '../faults/free-port.ts'
import { outFolder } from '../pull/pull-process.ts'
import { suite } from '../suite.ts'
import { usersync } from './call.ts'

const t = suite()

/** A web server. Returns its URL. */
async function serve(t: Test, answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Checks that a call prints one line on stderr and nothing on stdout, and exits with this code. */
async function fails(t: Test, args: string[], code: number, line: RegExp, env: Record<string, string> = {}) {
  const done = await usersync(args, { env })
  t.match(done, { code, out: '', err: line }, args.join(' '))
  t.equal(done.err.split('\n').length, 2, `one line: ${done.err}`)
}

t.test('wrong usage is one line and exit code 2', async (t) => {
  const wrong: [string, RegExp][] = [
    ['frob', /there is no command frob: expected serve, status, batch,/],
    ['batch', /batch: a command is missing: expected create, watch/],
    ['batch frob', /there is no command frob: expected create, watch/],
    ['--frob', /a command is missing/],
    ['constructor', /there is no command constructor: expected serve/],
    ['batch constructor', /there is no command constructor: expected create/],
    ['help frob', /there is no command frob: expected serve/],
    ['help batch frob', /there is no command frob: expected create/],
    ['frob --help', /there is no command frob/],
    ['batch create', /COUNT is missing/],
    ['batch create five', /COUNT expects a whole number/],
    ['batch create 5 6', /unexpected argument 6/],
    ['batch create 5 --frob', /Unknown option '--frob'/],
    ['batch create 5 --label', /--label.* argument missing/],
    ['batch create 5 --key secret', /Unknown option '--key'/],
    ['batch create 5 --config none.json', /--config: none.json cannot be read \(ENOENT\)/],
    ['batch create 5 --config README.md', /README.md is no JSON object/],
    ['batch list --status done', /--status expects queued, running/],
    ['batch list --limit 0', /--limit expects a whole number/],
    ['users import none.csv', /none.csv cannot be read \(ENOENT\)/],
    ['users import README.md', /--format is missing/],
    ['users import test', /--format is missing/],
    ['lease return 1', /--fence expects a whole number/],
    ['completion tcsh', /SHELL expects bash, zsh, fish/],
    ['status --url nowhere', /--url expects an address/],
    ['status --url http://me:secret@host', /--url must not contain a key/],
    ['status --key-file none', /--key-file none cannot be read \(ENOENT\)/],
    ['status --key-file /dev/null', /has no valid key/],
  ]
  for (const [args, line] of wrong) await fails(t, args.split(' '), 2, line)
  t.notMatch(await usersync(['status', '--url', 'http://me:secret@host']), { err: /secret/ })
})

t.test('a service that cannot be reached is exit code 3', async (t) => {
  const url = `http://127.0.0.1:${await freePort()}`
  for (const args of [['status'], ['users', 'list'], ['users', 'export']])
    await fails(t, args, 3, /:\d+ cannot be reached \(ECONNREFUSED\): is usersync running there\? --url or/, {
      USERSYNC_URL: `${url}/v1/`, // the /v1 of its routes is dropped
    })
})

t.test('a web server that is no usersync is exit code 5', async (t) => {
  const notFound = await serve(t, (_, response) => response.writeHead(404).end('<h1>Not found</h1>'))
  const page = await serve(t, (_, response) => response.end('<h1>Welcome</h1>'))
  const notImplemented = await serve(t, (_, response) => response.writeHead(501).end())
  for (const url of [notFound, page, notImplemented]) {
    await fails(t, ['status', '--url', url], 5, /is no usersync/)
    await fails(t, ['batch', 'list', '--url', url], 5, /is no usersync/)
  }
  const closing = await serve(t, ({ method, socket }, response) =>
    method === 'POST' ? socket.destroy() : response.writeHead(404).end(),
  )
  await fails(t, ['users', 'import', '-', '--format', 'csv', '--url', closing], 5, /is no usersync/)
})

t.test('a service that is down behind its proxy, or shuts down, may be tried again: exit code 3', async (t) => {
  const proxy = await serve(t, (_, response) => response.writeHead(502).end('<h1>Bad gateway</h1>'))
  const problem = JSON.stringify({
    type: 'urn:usersync:problem:shutting_down',
    code: 'shutting_down',
    title: 'x',
    status: 503,
  })
  const closing = await serve(t, ({ method, socket }, response) =>
    method === 'POST' ? socket.destroy() : response.writeHead(503).end(problem),
  )
  await fails(t, ['status', '--url', proxy], 3, /HTTP 502, not from usersync itself: is it down\?/)
  await fails(t, ['status', '--url', closing], 3, /shutting_down/)
  const cut = await usersync(['users', 'import', '-', '--format', 'csv', '--url', closing])
  t.match(cut, { code: 3, err: /cannot be reached/ })
})

t.test('a service that is not ready is exit code 1, and the line says why', async (t) => {
  const notReady = (reason: string) =>
    serve(t, ({ url: path }, response) => {
      const answer = { '/openapi.json': { info: { title: 'usersync', version: VERSION } } }[String(path)]
      if (answer) return response.end(JSON.stringify(answer))
      response.writeHead(503, { 'content-type': 'application/json' })
      return response.end(JSON.stringify({ status: 'not_ready', reasons: [reason], warnings: ['memory'] }))
    })
  const url = await notReady('database')
  const { code, out, err } = await usersync(['status', '--url', url])
  t.match({ code, err }, { code: 1, err: '' })
  t.match(out, /^health +not_ready, database \(does not answer\), memory \(above its limit, new work is refused\)\n$/m)
  t.match(JSON.parse((await usersync(['status', '--url', url, '--json'])).out), { health: { reasons: ['database'] } })
})

t.test('a dry run of a target may take minutes', async (t) => {
  const arrived = Promise.withResolvers<ServerResponse>()
  const url = await serve(t, (_, response) => arrived.resolve(response))
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const ended = usersync(['targets', 'sync', 'shop', '--dry-run', '--url', url])
  const response = await arrived.promise
  mock.timers.tick(200_000)
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ dry_run: true, added_count: 3 }))
  t.match(await ended, { code: 0, err: '', out: /added_count +3/ })
})

t.test('a file that may not be read is exit code 2', async (t) => {
  const folder = await outFolder(t)
  const file = join(folder, 'users.csv')
  await writeFile(file, 'username\n', { mode: 0 })
  await chmod(folder, 0o755)
  const isRoot = process.geteuid?.() === 0 // may read everything
  if (isRoot) process.seteuid?.(65_534)
  try {
    await fails(t, ['users', 'import', file], 2, /users.csv cannot be read \(EACCES\)/)
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
})

t.test('a file that fails while it is read is exit code 1', async (t) => {
  const url = await serve(t, () => {})
  await fails(t, ['users', 'import', '/proc/self/mem', '--format', 'csv', '--url', url], 1, /EIO: i\/o error, read/)
})

t.test('a request that was never sent has no second line, one that may have arrived has', async (t) => {
  const gone = await usersync(['batch', 'create', '5', '--url', `http://127.0.0.1:${await freePort()}`])
  t.match(gone, { code: 3, err: /^usersync: .* cannot be reached \(ECONNREFUSED\).*\n$/ })
  const cut = await serve(t, ({ method, socket }, response) => {
    if (method === 'POST') return socket.destroy()
    return response.end(JSON.stringify({ info: { title: 'usersync', version: VERSION } }))
  })
  const unsure = await usersync(['users', 'import', '-', '--format', 'csv', '--url', cut])
  t.match(unsure, { code: 3, err: /cannot be reached.*\n.*applies nothing of a file that is cut off/ })
})

t.test('a service of another version is exit code 5, and the line names both versions', async (t) => {
  const problem = (code: string) =>
    JSON.stringify({ type: `urn:usersync:problem:${code}`, code, title: 'x', status: 404 })
  for (const [status, code] of [
    [404, 'route_not_found'],
    [400, 'invalid_request'],
  ] as const) {
    const url = await serve(t, ({ url: path }, response) => {
      if (path === '/openapi.json')
        return response.end(JSON.stringify({ info: { title: 'usersync', version: '0.9.0' } }))
      return response.writeHead(status, { 'content-type': 'application/problem+json' }).end(problem(code))
    })
    await fails(t, ['lease', 'list', '--url', url], 5, /usersync 0\.9\.0, and this client is made for 1\.0\.0/)
  }
})

t.test('characters that steer a terminal or turn its lines round do not reach it', async (t) => {
  const lease = {
    id: 'x',
    fence: 1,
    status: 'active',
    user_count: 1,
    expires_at: '\u001b[2J',
    owner: '\u001b]0;x\u0007\u202enna',
  }
  const url = await serve(t, (_, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ items: [lease], next_cursor: null }))
  })
  const { code, out } = await usersync(['lease', 'list', '--url', url])
  t.equal(code, 0)
  for (const character of ['\u001b', '\u0007', '\u202e']) t.notOk(out.includes(character))
})
