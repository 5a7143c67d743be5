import { sql } from 'drizzle-orm'
import { index, integer, jsonb, pgTable, text, uuid } from 'drizzle-orm/pg-core'
import { bytewiseText, time } from '../database/columns.ts'

/** Recorded changes. A row never contains a password, a key, or data of a user. */
export const auditEvents = pgTable(
  'audit_events',
  {
    id: uuid('id').primaryKey().default(sql`uuid_v7()`),
    at: time('at').notNull().defaultNow(),
    /** The name of the API key; null if no key is configured, or if the service made the change itself. */
    actor: text('actor'),
    /** For example `DELETE /v1/batches/{id}`, or `expiry`. */
    action: text('action').notNull(),
    /** The pool that the request names. It may not exist. */
    pool: bytewiseText('pool'),
    /** The id or name of the changed object. */
    subject: text('subject'),
    /** The status of the response. */
    status: integer('status').notNull(),
    /** The code of the problem, if the response is one. */
    code: text('code'),
    /** The counts in the response. */
    counts: jsonb('counts').$type<Record<string, number>>().notNull().default({}),
    /** Finds the request in the log. */
    requestId: text('request_id'),
  },
  (t) => [
    index('audit_events_pool').on(t.pool, t.id), // listing
    index('audit_events_at').on(t.at), // deletion of the oldest
  ],
)
