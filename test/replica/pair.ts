import type { Sql } from 'postgres'
import type { Test } from 'tap'
import type { Taken } from '../../src/replica/apply-export.ts'
import type { Service } from '../http/service.ts'
import { sharedService } from '../http/shared-service.ts'

export interface PutResponse {
  status: number
  headers: Headers
  json: Partial<Taken> & { code?: string; detail?: string }
}

const WHOLE = 'test_users_only=false'

/** Sends a body to a pool as an export. */
export async function put(
  url: string,
  body: string | Uint8Array<ArrayBuffer>,
  { pool = 'default', headers = {} }: { pool?: string; headers?: Record<string, string> } = {},
): Promise<PutResponse> {
  const answer = await fetch(`${url}/v1/replica/users?pool=${pool}`, {
    method: 'PUT',
    body,
    headers: { 'content-type': 'application/x-ndjson', ...headers },
    signal: AbortSignal.timeout(60_000),
  })
  return { status: answer.status, headers: answer.headers, json: (await answer.json()) as PutResponse['json'] }
}

/** The whole pool as an NDJSON export; full without a base. */
export async function exportOf(service: Service, { pool = 'default', base = '' } = {}): Promise<string> {
  const path = `/v1/users/export?format=ndjson&${WHOLE}&pool=${pool}${base && `&base=${base}`}`
  const { status, raw } = await service.call('GET', path)
  if (status !== 200) throw new Error(`the export answers ${status}`)
  return raw.toString()
}

/** The current state of the whole pool. */
export async function stateOf(service: Service, pool = 'default'): Promise<string> {
  return (await service.call<{ state: string }>('GET', `/v1/states/current?${WHOLE}&pool=${pool}`)).json.state
}

/** The user lines of an export, without head, deletions and end. */
export const userLines = (text: string) => text.split('\n').filter((line) => line.startsWith('{"id"'))

/** A service with a limit below the default, so that an upload is soon too large. */
export const replicaService = (t: Test) => sharedService(t, { IMPORT_LIMIT_MB: '5' })

/** A source and a replica, each with its own database. */
export async function startPair(t: Test) {
  return { source: await replicaService(t), replica: await replicaService(t) }
}

/** Users of all kinds, in one commit: non-test users, batches, and numbers that a double cannot represent. */
export async function makeUsers(sql: Sql, count: number, prefix = 'user'): Promise<void> {
  await sql`
    insert into users (username, email, role, is_test_user, batch_id, created_by_bulk, custom_attributes, created_at, updated_at)
    select ${prefix} || n, ${prefix} || n || '@example.com', 'rôle "' || n % 3 || E'"\n', n % 7 > 0,
      case when n % 3 = 0 then '01890000-0000-7000-8000-000000000000'::uuid end, n % 2 = 0,
      jsonb_build_object('n', (n || '.10')::numeric, 'big', 12345678901234567890123, 'é', E'☃\\u2028'),
      '2020-02-29 00:00:00.000001+00'::timestamptz + n * interval '1.000001 s', '2024-01-01 12:00:00.120000+05'::timestamptz
    from generate_series(1, ${count}::int) n`
}
