import { exchange } from '../faults/raw-exchange.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { sharedService } from './shared-service.ts'

const t = suite()

/*
 * A client may declare a content type without sending a body. Many do so on every request, including DELETE and cancel.
 */

const { app, url } = await sharedService(t)
const port = Number(new URL(url).port)

const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, object>> }
const writes = Object.entries(paths).flatMap(([path, methods]) =>
  Object.keys(methods)
    .filter((method) => method !== 'get')
    .map(
      (method) =>
        `${method.toUpperCase()} ${path.replace('{id}', '01890000-0000-7000-8000-000000000000').replace('{name}', 'x')}`,
    ),
)

async function statusOf(line: string, headers: string) {
  const { answers } = await exchange(port, [
    `${line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n${headers}\r\n`,
  ])
  t.equal(answers.length, 1, `${line}, ${headers.trim().replaceAll('\r\n', ', ')}: one response`)
  return answers[0]?.status
}

const READ_BY_THE_ROUTE = ['POST /v1/users/import', 'PUT /v1/replica/users']

t.test('without a body, the declared type and encoding do not matter', async (t) => {
  t.ok(writes.length >= 20, `${writes.length} routes`)
  const types = ['application/json', 'application/json; charset=utf-16', 'text/csv', 'none']
  for (const [i, line] of writes.filter((each) => !READ_BY_THE_ROUTE.includes(each)).entries()) {
    const plain = await statusOf(line, '')
    t.match(plain, /^(400|404|200)$/, line)
    for (const length of ['', 'content-length: 0\r\n']) {
      for (const type of sized(types.slice(i % 4, (i % 4) + 1), types)) {
        t.equal(await statusOf(line, `content-type: ${type}\r\n${length}`), plain, `${line} ${type} ${length}`)
      }
      const coded = await statusOf(line, `content-type: application/json\r\ncontent-encoding: gzip\r\n${length}`)
      t.equal(coded, plain, `${line} gzip ${length}`)
    }
  }
})

t.test('a route that reads its own body accepts an empty one', async (t) => {
  for (const line of READ_BY_THE_ROUTE) {
    for (const headers of ['', 'content-type: application/x-ndjson\r\n', 'content-encoding: gzip\r\n']) {
      t.match(await statusOf(line, headers), /^(20[01]|400|409|415)$/, `${line} ${headers}`)
    }
  }
})

t.test('an empty body with a declared type and chunked encoding is rejected', async (t) => {
  const chunked = 'content-type: application/json\r\ntransfer-encoding: chunked\r\n'
  const { answers } = await exchange(port, [
    `POST /v1/pools HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n${chunked}\r\n0\r\n\r\n`,
  ])
  t.match(answers, [{ status: 400, body: /The body is empty; send a JSON object/ }])
})
