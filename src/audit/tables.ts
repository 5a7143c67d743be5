import { bytewiseText, time } from '../database/columns.ts'
import { index, integer, jsonb, pgTable, sql, text, uuid } from '../database/drizzle.ts'

/** Who changed what, and what came of it. Never a password, a key, or a user's data. */
export const auditEvents = pgTable(
  'audit_events',
  {
    id: uuid('id').primaryKey().default(sql`uuid_v7()`),
    at: time('at').notNull().defaultNow(),
    /** The name of the key; null: no key is configured, or the service did it by itself. */
    actor: text('actor'),
    /** Such as `DELETE /v1/batches/{id}`, or `expiry`. */
    action: text('action').notNull(),
    /** The pool that was named, whether or not it is there. */
    pool: bytewiseText('pool'),
    /** The id or name of what was changed. */
    subject: text('subject'),
    /** The status that was answered. */
    status: integer('status').notNull(),
    /** The code of the problem, where it was one. */
    code: text('code'),
    /** Members of the answer that count something. */
    counts: jsonb('counts').$type<Record<string, number>>().notNull().default({}),
    /** By which the request is found in the log. */
    requestId: text('request_id'),
  },
  (t) => [
    index('audit_events_pool').on(t.pool, t.id), // listing
    index('audit_events_at').on(t.at), // forgetting the oldest
  ],
)
