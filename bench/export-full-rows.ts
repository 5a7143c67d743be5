import { median, type Rounds, ratioOf } from './bench-rounds.ts'
import { CROWD } from './export-ways.ts'
import { count, mebibytes, milliseconds, type Row } from './report-table.ts'

type Figures = Rounds<
  'copy' | `${'identity' | 'zstd' | 'gzip'}${'' | 'Again'}` | `${'identity' | 'zstd' | 'bare'}Crowd`
>

const TARGET = { ratio: 1.5, crowd: 1.5, growth: 64 * 1_048_576 }

/** The rows of full exports of `users` users. `memory` is in bytes, sampled during each uncompressed export. */
export function fullRows(users: number, figures: Figures, memory: number[][]): Row[] {
  const all = `full export of ${count(users)} users`
  const psql = (what: string, measured: number[]) => comparison(what, measured, 'psql COPY of the lines', figures.copy)
  const made = (what: string, measured: number[], yardstick: number[]) =>
    comparison(what, measured, 'one client, not cached', yardstick)
  const plain = psql(`${all}, NDJSON`, figures.identity)
  const crowd = made(`${all} for ${CROWD} clients at once`, figures.identityCrowd, figures.identity)
  const met = plain.ratio === undefined ? undefined : plain.ratio <= TARGET.ratio
  return [
    { ...plain, target: `≤ ${TARGET.ratio}`, met },
    psql(`${all}, NDJSON, zstd`, figures.zstd),
    psql(`${all}, NDJSON, gzip`, figures.gzip),
    growthRow(all, memory),
    made(`${all} again, from the cache`, figures.identityAgain, figures.identity),
    made(`${all} again, from the cache, zstd`, figures.zstdAgain, figures.zstd),
    made(`${all} again, from the cache, gzip`, figures.gzipAgain, figures.gzip),
    { ...crowd, target: `≤ ${TARGET.crowd}`, met: crowd.ratio !== undefined && crowd.ratio <= TARGET.crowd },
    made(
      `as many bytes from memory for ${CROWD} clients at once, a bare Fastify route`,
      figures.bareCrowd,
      figures.identity,
    ),
    made(`${all} for ${CROWD} clients at once, zstd`, figures.zstdCrowd, figures.zstd),
  ]
}

function comparison(what: string, measured: number[], name: string, yardstick: number[]): Row {
  const ratio = ratioOf(measured, yardstick)
  return {
    what,
    ratio,
    measured: milliseconds(median(measured)),
    yardstick: ratio === undefined ? `${name}: not run` : `${name}: ${milliseconds(median(yardstick))}`,
  }
}

/** The largest increase of resident memory since the start of an export. */
function growthRow(all: string, memory: number[][]): Row {
  const what = `resident memory of the service during a ${all}`
  const watches = memory.filter((samples) => samples.length > 0)
  if (watches.length === 0) return { what, measured: 'not measured: no /proc' }
  const growth = Math.max(...watches.map((samples) => Math.max(...samples) - (samples[0] ?? 0)))
  const before = median(watches.map(([first = 0]) => first))
  return {
    what,
    target: `growth < ${mebibytes(TARGET.growth)}`,
    measured: `growth at most ${mebibytes(growth)}`,
    yardstick: `before: ${mebibytes(before)}`,
    met: growth < TARGET.growth,
  }
}
