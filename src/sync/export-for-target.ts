import type { ExportRequest } from '../export/export-request.ts'
import type { State } from '../export/state.ts'
import type { Target } from '../targets/targets.ts'

/** What a target is sent: what leads on from the state that it holds, or all its filter's users where that is undefined. */
export const exportForTarget = (
  { pool, filter }: Pick<Target, 'pool' | 'filter'>,
  held: State | undefined,
): ExportRequest => ({
  pool,
  filter,
  format: 'ndjson',
  shard: undefined,
  credentials: [],
  differential: held !== undefined,
  held: held === undefined ? [] : [held],
  isMatch: () => false,
})
