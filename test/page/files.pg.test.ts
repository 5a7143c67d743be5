import { once } from 'node:events'
import { globSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { as, WITH_KEYS } from '../http/keys.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

/* The files of the operator's page, as any HTTP client sees them. */

const { call, url, log } = await sharedService(t, WITH_KEYS)
const folder = join(import.meta.dirname, '../../ui')
const files = globSync('**/*.{js,css,svg,html}', { cwd: folder })
const vendor = ['preact.mjs', 'hooks.mjs', 'htm.mjs'].map((name) => `vendor/${name}`)

t.test('the root leads to the page by a relative address, so a proxy may add a path', async (t) => {
  for (const path of ['/', '/ui']) {
    t.match(await call('GET', path), { status: 302, headers: { location: 'ui/' } }, path)
  }
  for (const method of ['POST', 'DELETE']) {
    for (const path of ['', 'api.js', 'vendor/htm.mjs']) {
      t.match(await call(method, `/ui/${path}`), { status: 405, headers: { allow: 'GET, HEAD' } }, `${method} ${path}`)
    }
  }
})

t.test('every file is served without a key, under the policy, and again as 304', async (t) => {
  t.ok(files.includes('index.html') && files.includes('shell.js'))
  for (const path of ['', ...files, ...vendor]) {
    const { status, headers } = await call('GET', `/ui/${path}`)
    t.match(
      { status, ...headers },
      {
        status: 200,
        etag: /^W\/"/,
        'cache-control': 'no-cache',
        'content-security-policy':
          "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'referrer-policy': 'no-referrer',
        ...(/js$/.test(path) && { 'content-type': /^\w+\/javascript; charset=utf-8$/ }),
      },
      path,
    )
    const again = await call('GET', `/ui/${path}`, { headers: { 'if-none-match': headers.etag ?? '' } })
    t.match(again, { status: 304, raw: { length: 0 } }, path)
  }
})

t.test('nothing else of the disk is served', async (t) => {
  const outside = [
    '../package.json',
    '..%2fpackage.json',
    '%2e%2e/package.json',
    'tsconfig.json',
    'vendor/htm.d.mts',
    'answers.d.ts',
  ]
  for (const path of [...outside, 'vendor/../../package.json', 'nothing.js', 'style', 'vendor/']) {
    for (const method of ['GET', 'HEAD', 'POST', 'PROPFIND']) {
      t.match(await call(method, `/ui/${path}`), { status: 404 }, `${method} ${path}`)
    }
  }
})

t.test('ranges are ignored', async (t) => {
  for (const path of ['ui/', 'ui/api.js', 'docs/static/swagger-ui.css']) {
    for (const range of ['bytes=0-9', 'bytes=99999999-', 'bytes=-0', 'bytes=5-2', 'bytes=a-b']) {
      t.match(await call('GET', `/${path}`, { headers: { range } }), { status: 200 }, `${path} ${range}`)
    }
  }
})

t.test('a client that is gone before the first byte is no error', async (t) => {
  const { host, hostname, port } = new URL(url)
  for (let ms = 0; ms < 30; ms++) {
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    socket.write(`GET /ui/api.js HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
    await sleep(ms % 4)
    socket.resetAndDestroy()
  }
  await call('GET', '/ui/')
  t.notOk(log.find((line) => /"level":[45]0/.test(line)))
})

t.test('every address in the files is relative, and leads to a file', (t) => {
  const served = new Set([...files, ...vendor])
  for (const file of files) {
    const text = readFileSync(join(folder, file), 'utf8')
    t.notMatch(text.replaceAll(/xmlns="[^"]*"/g, ''), /https?:\/\/(?!127\.0\.0\.1)/, `${file} names no other host`)
    t.notMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc|\beval\b|new Function/, file)
    const code = text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/ .*/g, '') // comments name types
    for (const [, address = ''] of code.matchAll(/(?:from|import) '([^']+)'|(?:src|href)="([^"$]+\.\w+)"/g)) {
      if (address) t.ok(served.has(join(file, '..', address)), `${file} loads ${address}`)
    }
  }
  t.end()
})

t.test('all JavaScript together is at most 60 KiB compressed, and all files at most 150 KB', async (t) => {
  let javascript = 0
  let all = 0
  for (const path of ['', ...files.filter((file) => file !== 'index.html'), ...vendor]) {
    const { raw, headers } = await call('GET', `/ui/${path}`, { headers: { 'accept-encoding': 'gzip' } })
    if (raw.length > 1024) t.equal(headers['content-encoding'], 'gzip', path)
    all += raw.length + JSON.stringify(headers).length
    if (/js$/.test(path)) javascript += headers['content-encoding'] ? raw.length : gzipSync(raw).length
  }
  t.comment(`${javascript} bytes of JavaScript, ${all} bytes in all`)
  t.ok(javascript < 61_440, `${javascript}`)
  t.ok(all < 150_000, `${all}`)
})

t.test('a key learns what it allows', async (t) => {
  const scopes = ['users:read', 'users:write', 'users:lease', 'credentials:read', 'admin']
  t.match(await call('GET', '/v1/me', { headers: as('root') }), { status: 200, json: { name: 'root', scopes } })
  t.strictSame((await call('GET', '/v1/me', { headers: as('both') })).json, {
    name: 'both',
    scopes: ['users:read'],
    pools: [{ name: 'shop', scopes: ['users:read', 'users:write'] }],
  })
  for (const headers of [{}, as('nobody')]) {
    const answer = await call('GET', '/v1/me', { headers })
    t.match(answer, { status: 401, json: { code: 'unauthorized' }, headers: { 'www-authenticate': /Bearer/ } })
  }
})
