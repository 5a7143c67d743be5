import { forgetEvents, type RecordedEvent } from '../../src/audit/audit-events.ts'
import { as, WITH_KEYS } from '../http/keys.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

const { call, sql, log } = await sharedService(t, WITH_KEYS)

const events = async (query = '') =>
  (await call<{ items: RecordedEvent[] }>('GET', `/v1/audit?${query}`, { headers: as('root') })).json.items

t.test('every change is recorded with actor, action, counts and status', async (t) => {
  const password = 'a-planted-s3cret!'
  const config = { password, password_hash: { algorithm: 'none' } }
  const headers = { ...as('maker'), prefer: 'wait=30' }
  const { json } = await call<{ id: string }>('POST', '/v1/batches', { headers, body: { count: 3, config } })
  await call('DELETE', `/v1/batches/${json.id}`, { headers: as('maker') })
  await call('DELETE', `/v1/batches/${json.id.replace(/.$/, 'f')}`, { headers: as('root') })
  await call('POST', '/v1/pools', { headers: as('root'), body: { name: 'other' } })
  await call('POST', '/v1/batches?pool=other', { headers: as('maker'), body: { count: 0 } })
  const target = { name: 't', url: 'http://127.0.0.1:9', key: 'a-planted-s3cret-key' }
  await call('POST', '/v1/targets?pool=other', { headers: as('root'), body: target })

  const all = await events()
  t.match(all, [
    { actor: 'root', action: 'POST /v1/targets', pool: 'other', subject: 't', status: 201 },
    { actor: 'maker', action: 'POST /v1/batches', pool: 'other', status: 400, code: 'invalid_request' },
    { actor: 'root', action: 'POST /v1/pools', subject: 'other', status: 201 },
    { actor: 'root', action: 'DELETE /v1/batches/{id}', status: 404, code: 'batch_not_found' },
    {
      actor: 'maker',
      action: 'DELETE /v1/batches/{id}',
      subject: json.id,
      counts: { deleted_count: 3, protected_count: 0 },
    },
    {
      actor: 'maker',
      action: 'POST /v1/batches',
      pool: 'default',
      subject: json.id,
      status: 201,
      counts: { total_requested: 3 },
    },
  ])
  t.notOk('user_count' in (all.at(-1)?.counts ?? {}), 'what exists is not what the request did')
  t.match(
    (await events('pool=other&limit=1')).map(({ action }) => action),
    ['POST /v1/targets'],
  )
  const rows = JSON.stringify(await sql`select * from audit_events`)
  t.notMatch(rows + log.join(''), /planted|s3cret/, 'neither the events nor the log contain a password or key')
  const inLog = log.map((line) => JSON.parse(line)).filter(({ audit }) => audit)
  t.strictSame(new Set(inLog.map(({ reqId }) => reqId)), new Set(all.map((event) => event.request_id)))
})

t.test('a change is recorded even if its names contain characters that PostgreSQL cannot store', async (t) => {
  await call('DELETE', '/v1/users/a%00b?pool=c%00d', { headers: as('root') })
  await call('DELETE', '/v1/pools/a%00b', { headers: as('root') })
  t.match(await events('limit=2'), [
    { action: 'DELETE /v1/pools/{name}', pool: 'a\ufffdb', status: 400 },
    { action: 'DELETE /v1/users/{id}', subject: 'a\ufffdb', pool: 'c\ufffdd', status: 400 },
  ])
})

t.test('a request without permission to change anything leaves no event', async (t) => {
  const before = await events()
  await call('POST', '/v1/batches', { headers: as('reader'), body: { count: 1 } })
  await call('POST', '/v1/batches', { body: { count: 1 } })
  await call('GET', '/v1/users', { headers: as('root') })
  t.strictSame(await events(), before)
})

t.test('a source that reads the state of a replica leaves no event, an export that is applied does', async (t) => {
  await call('PATCH', '/v1/pools/other', { headers: as('root'), body: { replica: 'test_users' } })
  const headers = { ...as('maker'), 'content-type': 'application/x-ndjson' }
  const { json } = await call<{ state: string }>('GET', '/v1/states/current?pool=other', { headers: as('reader') })
  const put = (kind: string, base: string | null, state: string) => {
    const counts = { added: 0, updated: 0, deleted: 0 }
    const lines = [
      { kind, base, state, total_count: 0, counts },
      { end: state, lines: 0 },
    ]
    const body = lines.map((line) => `${JSON.stringify(line)}\n`).join('')
    return call('PUT', '/v1/replica/users?pool=other', { headers, body })
  }
  const other = json.state.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'))
  const before = await events()
  t.equal((await put('unchanged', json.state, json.state)).status, 200)
  t.equal((await put('unchanged', other, other)).status, 409)
  t.strictSame(await events(), before)
  t.equal((await put('full', null, json.state)).status, 200)
  t.match(await events('limit=1'), [{ actor: 'maker', action: 'PUT /v1/replica/users', pool: 'other', status: 200 }])
})

t.test('events older than the retention period are deleted', async (t) => {
  await sql`update audit_events set at = now() - interval '2 days' where action = 'POST /v1/pools'`
  t.equal(await forgetEvents(sql, 86_400), 1)
  t.equal(await forgetEvents(sql, 86_400), 0)
  t.notMatch(
    (await events()).map(({ action }) => action),
    ['POST /v1/pools'],
  )
})
