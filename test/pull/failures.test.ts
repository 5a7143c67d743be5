import { readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { Stopped } from '../../src/process/shutdown.ts'
import { runPull } from '../../src/pull/run-pull.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { fakeExports, fakeService, fullOf, lineOf } from './fake-service.ts'
import { outFolder, pull, pullsByProcess, startPull } from './pull-process.ts'

const t = suite()

/* The messages and exit codes of a pull that cannot do its work. */

// Some pulls run in their own process, which takes a second to start on a busy machine.

const folder = await outFolder(t)
const out = join(folder, 'users.csv')
const body = fullOf([lineOf(1)])

t.test('a wrong call leads to exit code 2 and says what to do', async (t) => {
  const url = 'http://127.0.0.1:9'
  const right = { url, out }
  const wrong: [Record<string, string>, RegExp][] = [
    [{}, /--url is missing/],
    [{ url }, /--out is missing/],
    [{ out, url: 'host:3000' }, /--url expects/],
    [{ out, url: 'http://me:secret@host' }, /USERSYNC_KEY/],
    [{ out, url: `${url}/?pool=x` }, /without \?/],
    [{ ...right, key: 'secret' }, /Unknown option '--key'\. --help lists/],
    [{ ...right, format: 'xml' }, /csv, ndjson or json/],
    [{ ...right, shard: '3/3' }, /I from 0 to N-1/],
    [{ ...right, shard: '1' }, /I from 0 to N-1/],
    [{ ...right, filter: 'role=user' }, /batch_id, test_users_only, bulk_users_only/],
    [{ ...right, filter: 'batch_id=7' }, /an id/],
    [{ ...right, filter: 'bulk_users_only=yes' }, /true or false/],
    [{ ...right, filter: 'bulk_users_only=true,bulk_users_only=false' }, /twice/],
    [{ ...right, include: 'passwords' }, /password, password_hash, totp_secret/],
    [{ ...right, every: '0s' }, /from 1s to 24h/],
    [{ ...right, every: '25h' }, /from 1s to 24h/],
    [{ ...right, every: '30' }, /from 1s to 24h/],
    [{ ...right, 'key-file': join(folder, 'none') }, /ENOENT/],
    [{ ...right, 'key-file': '/dev/null' }, /has no valid key/],
    [{ ...right, out: join(folder, 'none', 'users.csv') }, /no folder/],
    [{ ...right, out: folder }, /not a regular file/],
  ]
  const done = await Promise.all(wrong.map(([options]) => pull(options)))
  for (const [i, { code, output }] of done.entries()) {
    t.equal(code, 2, JSON.stringify(wrong[i]?.[0]))
    t.match(output, wrong[i]?.[1])
  }
  t.strictSame(await readdir(folder), [], 'no file is left')
})

t.test('--help with a value is rejected', async (t) => {
  t.match(await pull({ help: '' }), { code: 2, output: /--help lists/ }, 'help takes no value')
})

t.test('each kind of rejection has its exit code and is not retried', async (t) => {
  for (const [status, code] of Object.entries({ 401: 4, 403: 4, 400: 5, 404: 5, 302: 5, 304: 5 })) {
    let requests = 0
    const url = await fakeService(t, (_, response) => {
      requests++
      response.writeHead(Number(status)).end()
    })
    const done = await pull({ url, out })
    t.equal(done.code, code, `${status}: ${done.output}`)
    if (status === '302') t.match(done.output, /answers 302: a redirect, which is not followed/)
    t.equal(requests, 1)
  }
})

t.test('a page in place of an answer is no usersync: exit code 5', async (t) => {
  let requests = 0
  const url = await fakeService(t, (_, response) => {
    requests++
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<h1>Welcome</h1>')
  })
  t.match(await pull({ url, out }), { code: 5, output: /^usersync: The URL does not lead to a usersync\.\n$/ })
  t.equal(requests, 1)
})

t.test('retryable errors are retried, six requests in total, then exit code 3', async (t) => {
  let requests = 0
  const busy = await fakeService(t, (_, response) => {
    requests++
    response.writeHead(503, { 'retry-after': '0' }).end()
  })
  const broken = await fakeService(t, (_, response) => {
    response.writeHead(200, { 'content-encoding': 'gzip' })
    response.write(gzipSync(body).subarray(0, 40), () => response.destroy())
  })
  const urls = [busy, broken, 'http://127.0.0.1:9']
  const done = await Promise.all(urls.map((url, i) => pull({ url, out: join(folder, `${i}.csv`) })))
  for (const { code, output } of done) {
    t.equal(code, 3, output)
    t.equal(output.match(/Retry in \d+\.\d s/g)?.length, 5)
  }
  t.equal(requests, 6)
})

t.test('the key comes from the environment or a file, and is never printed', async (t) => {
  const url = await fakeService(t, (request, response) => {
    response.writeHead(request.headers.authorization === 'Bearer s3cret' ? 200 : 401).end(body)
  })
  const file = join(folder, 'key')
  await writeFile(file, 's3cret\n')
  const calls = [
    [await pull({ url, out }, { USERSYNC_KEY: 's3cret' }), 0],
    [await pull({ url, out, 'key-file': file }, { USERSYNC_KEY: 'other' }), 0],
    [await pull({ url, out }, { USERSYNC_KEY: 's3cret2' }), 4],
    [await pull({ url, out }, { USERSYNC_KEY: 's3cr\net' }), 2],
  ] as const
  for (const [{ code, output }, expected] of calls) {
    t.equal(code, expected, output)
    t.notMatch(output, /s3cr/)
  }
})

t.test(
  'a second pull to the same file is rejected while the first one runs, and works after it was killed',
  async (t) => {
    let waiting = () => {}
    const isRequested = new Promise<void>((resolve) => {
      waiting = resolve
    })
    let isSilent = true
    const url = await fakeService(t, (_, response) => {
      waiting()
      if (!isSilent) response.end(body)
    })
    const first = startPull(t, { url, out })
    await isRequested
    t.match(await pull({ url, out }), { code: 2, output: /another pull keeps .*users\.csv in sync/ })
    first.child.kill('SIGKILL')
    t.equal(await first.ended, 'SIGKILL')
    await writeFile(`${out}.part`, 'left by a killed pull')
    await writeFile(`${out}.base.part`, 'left by a killed pull')
    isSilent = false
    t.match(await pull({ url, out }), { code: 0 })
    t.notMatch((await readdir(folder)).join(), /part/)
  },
)

t.test('--every continues after a failed round, and a signal ends it between rounds', async (t) => {
  const answers: ((response: ServerResponse) => void)[] = [
    (response) => response.end(body),
    (response) => response.writeHead(400).end(),
    (response) => response.end(body),
  ]
  const url = await fakeExports(t, (_, response) => answers.shift()?.(response))
  let output = ''
  const stop = new AbortController()
  const write = (text: string) => {
    output += text
    if (/failed.*full, 1 users/s.test(output)) stop.abort(new Stopped('SIGTERM'))
  }
  const terminal = { isTTY: false, columns: 80, write }
  const args = ['--url', url, '--out', out, '--every', '1s']
  const code = await runPull(args, { env: {}, stderr: terminal, stop: stop.signal })
  t.equal(code, 0, output)
  t.match(output, /Z full, 1 users.*Z failed: The peer answers 400.*Z full, 1 users/s, 'with times')
})

t.test('a signal ends a pull within a round, and the file stays', async (t) => {
  const url = await fakeService(t, (_, response) => void response.writeHead(200).write(body.slice(0, -5)))
  const before = await readFile(out, 'utf8')
  const all = [
    [undefined, 'SIGINT', 130],
    [undefined, 'SIGTERM', 143],
    ['1s', 'SIGINT', 0],
    ['1s', 'SIGTERM', 0],
  ] as const
  const isWriting = async () => {
    while (!(await readdir(folder)).includes('users.csv.part')) await sleep(10)
  }
  const isAsBefore = async () => {
    t.notMatch((await readdir(folder)).join(), /part/)
    t.equal(await readFile(out, 'utf8'), before)
  }
  for (const [every, signal, code] of all) {
    const stop = new AbortController()
    const ended = pull({ url, out, ...(every && { every }) }, {}, stop.signal)
    await isWriting()
    stop.abort(new Stopped(signal))
    t.match(await ended, { code })
    await isAsBefore()
  }
  for (const [every, signal, code] of all.slice(0, sized(1, 4))) {
    const { child, ended, output } = startPull(t, { url, out, ...(every && { every }) })
    await isWriting()
    child.kill(signal)
    t.equal(await ended, code, output())
    await isAsBefore()
  }
})

t.test('a server’s message cannot move the cursor or forge a log line', async (t) => {
  const detail = '\u001b]0;pwned\u0007\u001b[2J\n2026-01-01 fine\u202e'
  const url = await fakeService(t, (_, response) => {
    response.writeHead(400, { 'content-type': 'application/problem+json' })
    response.end(JSON.stringify({ code: 'x\u001b[2J', detail }))
  })
  const { code, output } = await pull({ url, out })
  t.equal(code, 5)
  t.match(output, /^usersync: The peer answers 400: \ufffd\]0;pwned[^\n]*\n$/)
  t.notMatch(output.trimEnd(), /[\p{Cc}\p{Cf}]/u)
})

t.test('a server that sends too much cannot fill the disk', async (t) => {
  const [line = '', head = '', end = ''] = [lineOf(1), ...body.split('\n').filter((row) => !row.startsWith('{"id"'))]
  const endless = await fakeService(t, (_, response) => {
    response.write(`${JSON.stringify({ ...JSON.parse(head), counts: { added: 1e7, updated: 0, deleted: 0 } })}\n`)
    let n = 0
    const more = () => {
      while (
        !response.destroyed &&
        response.write(`${lineOf(n++).replace('"role":"', `"role":"${'x'.repeat(50_000)}`)}\n`)
      );
    }
    response.on('drain', more)
    more()
  })
  const bounded = await pull({ url: endless, out, 'max-mb': '5' })
  t.equal(bounded.code, 7, bounded.output)
  t.match(bounded.output, /more than 5 MB \(--max-mb\)/)
  t.notMatch((await readdir(folder)).join(), /part/)

  const counts = { added: 9e15, updated: 0, deleted: 0 }
  const incredible = await fakeService(t, (_, response) => {
    response.end([JSON.stringify({ ...JSON.parse(head), counts }), line, end].map((row) => `${row}\n`).join(''))
  })
  t.match(await pull({ url: incredible, out }), { code: 6, output: /more than 100,000,000 users/ })
  t.match(await pull({ url: incredible, out, 'max-mb': '0' }), { code: 2, output: /--max-mb expects/ })
})

t.test('a TLS failure is retried and reported with its code', async (t) => {
  const url = await fakeService(t, (_, response) => void response.end())
  const { code, output } = await pull({ url: url.replace('http:', 'https:'), out })
  t.equal(code, 3, output)
  t.equal(output.match(/ERR_SSL_\w+\)\. The port does not speak TLS.*Retry in/g)?.length, 5)
})

t.test('proxies in the environment are used, except for loopback and NO_PROXY', async (t) => {
  const seen: string[] = []
  const proxy = createServer((request, response) => {
    seen.push(`${request.method} ${request.url?.split('?')[0]}`)
    response.end(body)
  })
  proxy.on('connect', (request, socket) => {
    seen.push(`CONNECT ${request.url}`)
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  t.teardown(() => proxy.close())
  const address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  const env = { HTTP_PROXY: address, HTTPS_PROXY: address, NO_PROXY: 'other.invalid' }
  const direct = await fakeService(t, (_, response) => void response.end(body))
  const urls = ['http://service.invalid:3000', 'https://service.invalid', direct, 'http://other.invalid']
  const calls = urls.map((url, i) => ({ url, out: join(folder, `proxy${i}.csv`) }))
  const [byProxy, byTunnel, loopback, excepted] = await pullsByProcess(calls, env)
  t.match(byProxy, { code: 0 })
  t.match(byTunnel, { code: 3, output: /The connection failed \(\w+\)/ })
  t.match(loopback, { code: 0 })
  t.match(excepted, { code: 3, output: /ENOTFOUND|EAI_AGAIN/ })
  t.strictSame([...new Set(seen)].sort(), [
    'CONNECT service.invalid:443',
    'GET http://service.invalid:3000/v1/states/current',
    'GET http://service.invalid:3000/v1/users/export',
  ])
  for (const HTTP_PROXY of sized([], ['no url'])) {
    const [wrong] = await pullsByProcess([{ url: 'http://service.invalid', out }], { HTTP_PROXY })
    t.match(wrong, { code: 3, output: /Are HTTPS_PROXY and HTTP_PROXY URLs/ })
  }
})
