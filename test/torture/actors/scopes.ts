import { hash } from 'node:crypto'
import { type Key, PLANTED } from '../client.ts'
import type { EventOf } from '../events.ts'
import { createRandom } from '../random.ts'
import type { World } from '../world.ts'

const STRANGER =
  '{"id":"0190a0a0-0000-7000-8000-000000000001","username":"boss@company.com","email":"boss@company.com","role":"user",' +
  '"is_test_user":false,"batch_id":null,"created_by_bulk":false,"custom_attributes":{},' +
  '"created_at":"2026-01-01T00:00:00.000000Z","updated_at":"2026-01-01T00:00:00.000000Z"}'

/** A full export of one user that is not a test user. */
function exportOfStranger(): string {
  const digest = hash('sha256', STRANGER)
  const counts = { added: 1, updated: 0, deleted: 0 }
  const head = { kind: 'full', base: null, state: `u1-${digest}`, total_count: 1, counts }
  return `${JSON.stringify(head)}\n${STRANGER}\n${JSON.stringify({ end: head.state, lines: 1 })}\n`
}

interface Probe {
  key: Key
  method?: string
  path: string
  body?: object | string
  headers?: Record<string, string>
}

/** Each must be rejected. The client checks in every response what these keys can see. */
const REFUSED: Probe[] = [
  { key: 'reader', path: '/v1/users/export?test_users_only=false' },
  { key: 'reader', path: '/v1/users/export?include=password' },
  { key: 'writer', path: '/v1/users/export?include=password_hash' },
  { key: 'reader', path: '/v1/batches', body: { count: 1 } },
  { key: 'logins', path: '/v1/sync', body: { target: 'tester' } },
  { key: 'writer', path: '/v1/targets' },
  { key: 'writer', path: '/v1/pools', body: { name: 'mine' } },
  { key: 'reader', method: 'DELETE', path: '/v1/pools/empty' },
  {
    key: 'writer',
    method: 'PUT',
    path: '/v1/replica/users?pool=empty',
    body: exportOfStranger(),
    headers: { 'content-type': 'application/x-ndjson' },
  },
]

/** Allowed or rejected, but the response must not contain a protected user. */
const LOOKED_AT: Probe[] = [
  { key: 'reader', path: '/v1/replica/users?pool=mirror' },
  { key: 'writer', path: `/v1/users?sort=username&limit=1000` },
  { key: 'logins', path: '/v1/users/export?format=csv&differential=false&include=password' },
]

/** Sends requests that the keys do not allow, to one replica. */
export async function scopes(world: World, { seed }: EventOf<'scopes'>): Promise<void> {
  const random = createRandom(seed)
  const replica = random.pick(world.replicas)
  for (const probe of [...REFUSED, ...LOOKED_AT]) {
    const { status } = await world.client.ask({ replica, ...probe })
    if (REFUSED.includes(probe) && status >= 200 && status < 300) {
      world.report.finding(
        'scopes',
        `${probe.method ?? (probe.body ? 'POST' : 'GET')} ${probe.path} answers ${status} to the key ${probe.key}`,
      )
    }
  }
  const rows = await world.sql<{ id: string }[]>`
    select id from users where pool_id = 1 and username like ${`${PLANTED}%`} limit 1`.catch(() => [])
  const id = rows[0]?.id
  if (!id) return
  for (const probe of [{ method: 'GET' }, { method: 'PATCH', body: { role: 'changed' } }, { method: 'DELETE' }]) {
    const { status } = await world.client.ask({
      replica,
      key: 'writer',
      path: `/v1/users/${id}`,
      kind: 'user',
      ...probe,
    })
    if (status >= 200 && status < 300)
      world.report.finding('scopes', `${probe.method} of a protected user answers ${status} to the key writer`)
  }
}
