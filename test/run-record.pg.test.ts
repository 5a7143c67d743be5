import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ANSWERED, DESCRIPTION } from './answer-record.ts'
import { compareAnswers } from './compare-answers.ts'
import { sharedService } from './http/shared-service.ts'
import { BEGUN, recordOf } from './run-record.ts'
import { plant, searchRecord } from './search-record.ts'
import { suite } from './suite.ts'

const t = suite()

t.test('logs and error responses of services are recorded', async (t) => {
  const service = await sharedService(t)
  t.match(await service.call('GET', '/v1/pools/kept'), { status: 404 })
  t.match(await recordOf('.log'), /"route":"\/v1\/pools\/:name","status":404/)
  t.match(await recordOf('.answers'), /^404 \{.*"content-type":"application\/problem\+json.*"code":"pool_not_found"/m)
})

t.test('a run fails if something leaks or if the search itself does not work', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'usersync-record-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const search = async () => (await searchRecord(folder, ['pa55'])).faults
  t.strictSame(await search(), ['the planted secret is not found'], 'an empty folder')
  await plant(folder)
  await writeFile(join(folder, BEGUN), 'one.log\ntwo.log\n')
  await writeFile(join(folder, 'one.log'), 'right\nright\n')
  t.strictSame(await search(), ['two.log: no line was recorded'])
  await writeFile(join(folder, 'two.log'), 'right\na s3cret\nright\npa55\n')
  await writeFile(join(folder, 'x.answers'), '500 {} at f (/app/x.ts:1:2)\n')
  t.strictSame(await search(), [
    'two.log: a key or password: a s3cret',
    'two.log: a value: pa55',
    'x.answers: a place in the code: 500 {} at f (/app/x.ts:1:2)',
  ])
})

t.test('a run fails if a service gives an answer that its description lacks', async (t) => {
  const { call, app } = await sharedService(t)
  t.match(await call('GET', '/v1/pools/missing'), { status: 404 })
  t.match(await call('HEAD', '/livez'), { status: 200 })
  const recorded = await recordOf(ANSWERED)
  t.match(
    recorded,
    /"path":"\/v1\/pools\/\{name\}","status":"404","type":"application\/problem\+json","code":"pool_not_found"/,
  )
  t.match(recorded, '{"method":"GET","path":"/livez","status":"200","type":"application/json","code":"","headers":[]}')

  const folder = await mkdtemp(join(tmpdir(), 'usersync-record-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const answer = { method: 'GET', path: '/v1/users/{id}', status: '404', type: 'application/problem+json' }
  const compare = async (given: object) => {
    await writeFile(join(folder, `x${ANSWERED}`), JSON.stringify({ ...answer, code: '', headers: [], ...given }))
    return (await compareAnswers(folder)).faults
  }
  t.strictSame(await compare({}), ['no service has left its description'])
  await writeFile(join(folder, DESCRIPTION), JSON.stringify(app.swagger()))
  t.strictSame(await compare({ code: 'user_not_found' }), [])
  t.strictSame(await compare({ code: 'batch_not_found' }), ['GET /v1/users/{id} 404 batch_not_found'])
  t.strictSame(await compare({ status: '418' }), ['GET /v1/users/{id} 418 application/problem+json is not described'])
  t.strictSame(await compare({ type: 'text/html' }), ['GET /v1/users/{id} 404 has the media type text/html'])
  t.strictSame(await compare({ headers: ['etag'] }), ['GET /v1/users/{id} 404 has the header etag'])
  t.strictSame(await compare({ path: '/v1/cats' }), ['GET /v1/cats is not described'])
})
