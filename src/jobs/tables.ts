import { sql } from 'drizzle-orm'
import { check, integer, jsonb, pgTable, text, unique, uuid } from 'drizzle-orm/pg-core'
import { bytes, time } from '../database/columns.ts'

/** Runs of jobs by parameters: what a scheduler started, and the outcome. */
export const jobRuns = pgTable(
  'job_runs',
  {
    id: uuid('id').primaryKey().default(sql`uuid_v7()`),
    name: text('name').notNull(),
    parameters: jsonb('parameters').$type<Record<string, unknown>>().notNull(),
    /** SHA-256 of the parameters as text. A repeated call finds its run by this. */
    parametersDigest: bytes('parameters_digest').notNull(),
    status: text('status').notNull().default('running'),
    attempts: integer('attempts').notNull().default(0),
    result: jsonb('result').$type<Record<string, unknown>>(),
    failure: text('failure'),
    createdAt: time('created_at').notNull().defaultNow(),
    startedAt: time('started_at'),
    finishedAt: time('finished_at'),
  },
  (t) => [
    unique('job_runs_parameters').on(t.name, t.parametersDigest),
    check('job_runs_status', sql`status in ('running', 'completed', 'failed')`),
  ],
)
