import type { ISql, Sql } from 'postgres'
import { type Page, readPage } from '../database/page.ts'

/** One change to record: its actor, its action, its counts and its outcome. */
export interface AuditEvent {
  /** Undefined if no key is configured, or if the service itself or a job made the change. */
  actor: string | undefined
  action: string
  pool: string | undefined
  subject: string | undefined
  status: number
  code: string | undefined
  counts: Record<string, number>
  requestId: string | undefined
}

/** An event as the API returns it. */
export interface RecordedEvent {
  id: string
  at: string
  actor: string | null
  action: string
  pool: string | null
  subject: string | null
  status: number
  code: string | null
  counts: Record<string, number>
  request_id: string | null
}

/** Stores one event. */
export async function recordEvent(sql: ISql, event: AuditEvent): Promise<void> {
  const { actor = null, action, pool = null, subject = null, status, code = null, counts, requestId = null } = event
  await sql`
    insert into audit_events (actor, action, pool, subject, status, code, counts, request_id)
    values (${actor}, ${action}, ${pool}, ${subject}, ${status}, ${code}, ${JSON.stringify(counts)}, ${requestId})`
}

/** Stores a change that no request made. */
export const recordOwnChange = (
  sql: ISql,
  change: Pick<AuditEvent, 'action' | 'pool' | 'subject' | 'counts'>,
): Promise<void> =>
  recordEvent(sql, { ...change, actor: undefined, status: 200, code: undefined, requestId: undefined })

/** Returns one page of events, newest first: those before `before`, of one pool or of all pools. */
export function listEvents(
  sql: Sql,
  { pool, before, limit }: { pool: string | undefined; before: string | undefined; limit: number },
): Promise<Page<RecordedEvent>> {
  return readPage(
    sql,
    limit,
    (sql, rows) => sql<RecordedEvent[]>`
      select id, rfc3339(at) as at, actor, action, pool, subject, status, code, counts, request_id from audit_events
      where ${pool === undefined ? sql`true` : sql`pool = ${pool}`}
        and ${before === undefined ? sql`true` : sql`id < ${before}`}
      order by id desc limit ${rows}`,
  )
}

/** Deletes up to 10,000 of the oldest events that are more than `seconds` old. Returns how many it deleted. */
export async function forgetEvents(sql: Sql, seconds: number): Promise<number> {
  const { count } = await sql`
    delete from audit_events where id in (
      select id from audit_events where at < now() - ${seconds}::float8 * interval '1 second' order by at limit 10000)`
  return count
}
