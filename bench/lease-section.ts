import { inTurns, median, percentile, ratioOf } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { makeBatch } from './create-batch.ts'
import { emptyTables } from './create-empty.ts'
import { emptyBareTable, findPgbench, makeBareTable, takeBare } from './lease-bare.ts'
import { loadLeases } from './lease-load.ts'
import type { Section } from './report-section.ts'
import { count, milliseconds, type Row } from './report-table.ts'

const SECONDS = 3
const CALLERS = 16
/** The most users of one lease here; the others have one. */
const MANY = 100
const SLOWEST_CALLERS = 32

/** How many leases per second the service grants over HTTP, and how many PostgreSQL alone could. */
export const userLeases: Section = {
  name: 'leases',
  async measure(surroundings) {
    const { listed, rounds } = surroundings.options
    surroundings.progress(`${count(listed)} users: creating them`)
    await emptyTables(surroundings)
    await makeBatch(surroundings, listed)
    surroundings.progress(`${count(listed)} users: preparing them for leases`)
    await makeBareTable(surroundings)
    await firstLease(surroundings)
    const pgbench = await findPgbench()
    const p99: number[] = []
    const bare = (users: number) =>
      pgbench === undefined
        ? undefined
        : () => takeBare(surroundings, pgbench, { callers: CALLERS, count: users, seconds: SECONDS })
    const figures = await inTurns(
      surroundings,
      { title: 'leases', rounds, prepare: () => freeAll(surroundings) },
      {
        one: async () => (await take(surroundings, 1, CALLERS)).perSecond,
        bareOne: bare(1),
        many: async () => (await take(surroundings, MANY, CALLERS)).perSecond,
        bareMany: bare(MANY),
        slowest: async () => {
          const { perSecond, latencies } = await take(surroundings, 1, SLOWEST_CALLERS)
          p99.push(percentile(latencies, 99))
          return perSecond
        },
      },
    )
    const slowest = median(p99)
    return {
      rows: [
        rowOf('leases of one user', figures.one, figures.bareOne, 0.4, 3_000),
        rowOf(`leases of ${MANY} users`, figures.many, figures.bareMany, 0.5, 50_000 / MANY),
        {
          what: `p99 of leases of one user, ${SLOWEST_CALLERS} callers`,
          target: '< 100 ms',
          measured: milliseconds(slowest),
          met: slowest < 100,
        },
      ],
      raw: { unit: 'leases/s', users: listed, pgbench, figures, p99 },
    }
  },
}

/** The first lease of a pool begins a row for each user. Waits until all are there. */
async function firstLease({ client, sql, within }: Surroundings): Promise<void> {
  await within(300, 'first lease', async (signal) => {
    await client.send('/v1/leases', { method: 'POST', json: {}, signal })
    for (let isFilling = true; isFilling; ) {
      const rows = await sql`select from lease_pools where scan_before is not null`
      isFilling = rows.length > 0
      if (isFilling) await new Promise((resolve) => setTimeout(resolve, 500))
    }
  })
}

/** Gives every measurement the same start: all users are free, and no dead rows are left. */
async function freeAll(surroundings: Surroundings): Promise<void> {
  const { sql, within } = surroundings
  await within(300, 'return of all users', async () => {
    await sql`truncate leases, lease_returns`
    await sql`update lease_users set status = 'free', uses = 0, lease_id = null where status <> 'free'`
    await sql`vacuum (analyze) lease_users`
  })
  await emptyBareTable(surroundings)
  await within(60, 'checkpoint', () => sql`checkpoint`)
}

/** Leases users for some seconds. Throws unless each user was granted once. */
async function take({ address, sql, within }: Surroundings, users: number, callers: number) {
  const load = await within(SECONDS + 60, 'leases', () =>
    loadLeases(address, { count: users, ttl_seconds: 3_600 }, callers, SECONDS),
  )
  const [row] = await within(
    60,
    'count',
    () => sql<{ leased: number }[]>`
    select count(*)::int as leased from lease_users where status = 'leased'`,
  )
  if (row?.leased !== load.leases * users || Object.keys(load.others).length > 0) {
    throw new Error(
      `${load.leases} leases of ${users} hold ${row?.leased} users; others: ${JSON.stringify(load.others)}`,
    )
  }
  return { perSecond: load.leases / load.seconds, latencies: load.latencies }
}

function rowOf(what: string, measured: number[], yardstick: number[], leastRatio: number, least: number): Row {
  const ratio = ratioOf(measured, yardstick)
  const perSecond = median(measured)
  return {
    what: `${what}, ${CALLERS} callers`,
    ratio,
    target: `≥ ${leastRatio}, ≥ ${count(least)}/s`,
    measured: `${count(perSecond)} leases/s`,
    yardstick:
      yardstick.length > 0 ? `SKIP LOCKED by pgbench: ${count(median(yardstick))}/s` : 'pgbench is not installed',
    met: (ratio ?? Infinity) >= leastRatio && perSecond >= least,
  }
}
