import { watchMemory } from './bench-memory.ts'
import { type Candidate, inTurns } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { startBareRoute } from './export-bare-process.ts'
import { copyCandidate } from './export-copy.ts'
import { fullRows } from './export-full-rows.ts'
import type { Pool } from './export-pools.ts'
import { CROWD, waysToExport } from './export-ways.ts'
import type { SectionResult } from './report-section.ts'

/**
 * Full exports of a pool: for one client, for 20 at once, and from the cache, compared with psql, which writes the same
 * lines to /dev/null. Also the resident memory of the service during the export.
 */
export async function measureFull(surroundings: Surroundings, pool: Pool): Promise<SectionResult> {
  await using bare = await startBareRoute(surroundings)
  const exports = await waysToExport(surroundings, pool, bare)
  const memory: number[][] = []
  const watched: Candidate = async () => {
    using watch = watchMemory(surroundings)
    const milliseconds = await exports.made('identity')
    memory.push(await watch.stop())
    return milliseconds
  }
  const figures = await inTurns(
    surroundings,
    { title: 'full exports', rounds: surroundings.options.rounds },
    {
      copy: await copyCandidate(surroundings, pool),
      identity: watched,
      identityAgain: () => exports.again('identity'),
      identityCrowd: () => exports.crowd('identity'),
      bareCrowd: exports.bareCrowd,
      zstd: () => exports.made('zstd'),
      zstdAgain: () => exports.again('zstd'),
      zstdCrowd: () => exports.crowd('zstd'),
      gzip: () => exports.made('gzip'),
      gzipAgain: () => exports.again('gzip'),
    },
  )
  return { rows: fullRows(pool.users, figures, memory), raw: { unit: 'ms', crowd: CROWD, figures, memory } }
}
