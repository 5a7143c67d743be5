import { getTableColumns } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/postgres-js'
import type { Sql } from 'postgres'
import { makeIds } from '../src/batches/naming.ts'
import { users } from '../src/users/tables.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { deadlineFor } from './create-batch.ts'

type NewUser = typeof users.$inferInsert

/** Users as a batch creates them. Each call returns other names and ids. */
export function sampleUsers(count: number): NewUser[] {
  const { batchId, userIdPrefix, shortId } = makeIds()
  return Array.from({ length: count }, (_, i) => ({
    poolId: 1,
    id: userIdPrefix + (i + 1).toString(16).padStart(8, '0'),
    username: `testuser_${shortId}_${i + 1}@example.com`,
    email: `testuser_${shortId}_${i + 1}@example.com`,
    role: 'user',
    isTestUser: true,
    batchId,
    createdByBulk: true,
  }))
}

/**
 * As the Python system did: an INSERT for each user, a commit after each 100. Returns the milliseconds, without the
 * connection.
 */
export function insertOneByOne(surroundings: Surroundings, count: number): Promise<number> {
  const rows = sampleUsers(count).map(byColumn)
  return timed(surroundings, 'single inserts', count, async (sql, signal) => {
    for (const hundred of slices(rows, 100)) {
      signal.throwIfAborted()
      await sql.begin(async (tx) => {
        for (const row of hundred) await tx`insert into users ${tx(row)}`
      })
    }
  })
}

/**
 * As with drizzle: 1,000 users per INSERT, each in its own commit. Returns the milliseconds, without the connection.
 */
export function insertByDrizzle(surroundings: Surroundings, count: number): Promise<number> {
  const rows = sampleUsers(count)
  return timed(surroundings, 'drizzle inserts', count, async (sql, signal) => {
    const orm = drizzle(sql)
    for (const thousand of slices(rows, 1_000)) {
      signal.throwIfAborted()
      await orm.insert(users).values(thousand)
    }
  })
}

/** A bare INSERT of `count` users in one statement. Returns the milliseconds. */
export async function insertAtOnce({ within }: Surroundings, sql: Sql, count: number): Promise<number> {
  const rows = sampleUsers(count).map(byColumn)
  const start = performance.now()
  await within(10, 'bare insert', () => sql`insert into users ${sql(rows)}`)
  return performance.now() - start
}

/** Measures `task` on a separate connection. */
async function timed(
  { openConnection, within }: Surroundings,
  what: string,
  users: number,
  task: (sql: Sql, signal: AbortSignal) => Promise<void>,
): Promise<number> {
  const sql = openConnection()
  try {
    return await within(deadlineFor(users), what, async (signal) => {
      await sql`select 1`
      const start = performance.now()
      await task(sql, signal)
      return performance.now() - start
    })
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** The row with the names of its columns, as postgres.js expects it. */
function byColumn(user: NewUser): Record<string, string | number | boolean> {
  const columns: Record<string, { name: string }> = getTableColumns(users)
  return Object.fromEntries(Object.entries(user).map(([key, value]) => [columns[key]?.name ?? key, value])) as never
}

function slices<Item>(items: Item[], length: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / length) }, (_, i) => items.slice(i * length, (i + 1) * length))
}
