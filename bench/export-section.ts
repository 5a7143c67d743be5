import { measureDeletions } from './export-deletions.ts'
import { measureDelta } from './export-delta.ts'
import { measureFull } from './export-full.ts'
import { fillPools } from './export-pools.ts'
import { measureUnchanged } from './export-unchanged.ts'
import type { Section } from './report-section.ts'

/** The number of users in the pool that a large one is compared with. */
const FEW = 10_000

/** The cost of exports: without changes, with few changes, and complete; also for many clients at once. */
export const exportAnswers: Section = {
  name: 'exports',
  async measure(surroundings) {
    const [small, big] = await fillPools(surroundings, [FEW, surroundings.options.users])
    if (!small || !big) throw new Error('the pools were not created')
    const unchanged = await measureUnchanged(surroundings, big)
    const delta = await measureDelta(surroundings, big, small)
    const full = await measureFull(surroundings, big)
    const deletions = await measureDeletions(surroundings)
    return {
      rows: [...unchanged.rows, ...delta.rows, ...deletions.rows, ...full.rows],
      raw: { unchanged: unchanged.raw, delta: delta.raw, deletions: deletions.raw, full: full.raw },
    }
  },
}
