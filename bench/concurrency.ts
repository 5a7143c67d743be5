import { watchLiveness } from './bench-liveness.ts'
import { percentile } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { fillPools } from './export-pools.ts'
import { type Burst, sendBurst } from './load-burst.ts'
import type { Section } from './report-section.ts'
import { count, milliseconds, type Row } from './report-table.ts'

const STEPS = [300, 1_000, 2_000, 3_000, 10_000]
const USERS = 10_000

/** Each load generator requests its own shard. With ten of them, a shard is about 300 KB of CSV. */
const SHARDS = 10

/** The intended statuses of a request: served, unchanged, or rejected on purpose. */
const DELIBERATE = new Set(['200', '304', '429', '503'])

/** How many concurrent requests the service handles, in increasing steps. */
export const concurrentRequests: Section = {
  name: 'concurrency',
  async measure(surroundings) {
    const [pool] = await fillPools(surroundings, [USERS])
    const rows: Row[] = []
    const raw: Record<string, unknown> = {}
    let limit = 0
    for (const step of STEPS) {
      surroundings.progress(`${count(step)} concurrent requests`)
      const { burst, livez, livezNew } = await measureStep(surroundings, step, pool?.name ?? '')
      const served = burst.statuses['200'] ?? 0
      if (served === step) limit = step
      rows.push(rowOf(step, burst, livez, livezNew))
      raw[step] = { ...burst, latencies: burst.latencies.length, livez, livezNew }
    }
    rows.push({ what: 'the most concurrent requests without a rejection', measured: count(limit) })
    return { rows, raw }
  },
}

async function measureStep(surroundings: Surroundings, step: number, pool: string) {
  using kept = await watchLiveness(surroundings)
  using fresh = await watchLiveness(surroundings, 'new')
  const path = (n: number) => `/v1/users/export?pool=${pool}&format=csv&shard=${n % SHARDS}/${SHARDS}`
  const burst = await surroundings.within(120, `${step} requests`, () => sendBurst(surroundings.address, step, path))
  return { burst, livez: Math.max(...(await kept.stop())), livezNew: Math.max(...(await fresh.stop())) }
}

function rowOf(step: number, { statuses, broken, hung, latencies }: Burst, livez: number, livezNew: number): Row {
  const served = statuses['200'] ?? 0
  const refused = (statuses['503'] ?? 0) + (statuses['429'] ?? 0)
  const others = Object.entries(statuses).filter(([status]) => !DELIBERATE.has(status))
  return {
    what: `${count(step)} concurrent requests for a tenth of ${count(USERS)} users`,
    target: 'none reset, hung or failed; /livez within 1 s',
    measured: [
      `${count(served)} served, ${count(refused)} rejected, ${broken} reset, ${hung} hung`,
      ...others.map(([status, times]) => `${times} with status ${status}`),
      `p50 ${milliseconds(percentile(latencies, 50))}, p99 ${milliseconds(percentile(latencies, 99))}`,
      `/livez at most ${milliseconds(livez)}, on a new connection ${milliseconds(livezNew)}`,
    ].join('; '),
    met: broken + hung + others.length === 0 && livez < 1_000,
  }
}
