import { inTurns, median, ratioOf } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { startBareRoute } from './export-bare-process.ts'
import { CONNECTIONS, load } from './export-load.ts'
import { type Pool, presentState } from './export-pools.ts'
import type { SectionResult } from './report-section.ts'
import { count } from './report-table.ts'

const SECONDS = 4
/**
 * The time that V8 needs to optimize: the service takes 170 µs per request in the first two seconds, and 60 µs after
 * eight.
 */
const WARM_UP_SECONDS = 8
const TARGET = 0.65

/** How many unchanged responses per second, compared with a route that only answers 304. */
export async function measureUnchanged(surroundings: Surroundings, pool: Pool): Promise<SectionResult> {
  const { rounds } = surroundings.options
  await using bare = await startBareRoute(surroundings)
  const headers = {
    accept: 'application/x-ndjson',
    'accept-encoding': 'zstd, gzip',
    'if-none-match': `W/"${await presentState(surroundings, pool)}"`,
  }
  const candidate = (address: string) => {
    const url = new URL(`/v1/users/export?pool=${pool.name}`, address).href
    return (seconds = SECONDS) => load(surroundings, url, { headers, status: 304, seconds })
  }
  const [service, bareRoute] = [candidate(surroundings.address), candidate(bare.address)]
  surroundings.progress('unchanged exports: warming up')
  for (const warmUp of [service, bareRoute]) await warmUp(WARM_UP_SECONDS)
  const candidates = { service: () => service(), bareRoute: () => bareRoute() }
  const figures = await inTurns(surroundings, { title: 'unchanged exports', rounds }, candidates)

  const ratio = ratioOf(figures.service, figures.bareRoute) ?? Number.NaN
  const shown = (figures: number[]) => `${count(median(figures))} requests/s`
  return {
    rows: [
      {
        what: `unchanged export (304), ${CONNECTIONS} connections`,
        ratio,
        target: `≥ ${TARGET}`,
        measured: shown(figures.service),
        yardstick: `bare Fastify route answering 304: ${shown(figures.bareRoute)}`,
        met: ratio >= TARGET,
      },
    ],
    raw: { unit: 'requests/s', connections: CONNECTIONS, figures },
  }
}
