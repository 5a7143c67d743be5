import { type Candidate, inTurns, median, ratioOf } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { changeUsers, fillPools, type Pool, spreadIds } from './export-pools.ts'
import type { Section, SectionResult } from './report-section.ts'
import { count, milliseconds } from './report-table.ts'
import { copyInto } from './sink-copy.ts'
import { newTarget, runTarget } from './sink-runs.ts'
import { createSystem, type System } from './sink-system.ts'

/** Users in the large pool and in the small one. */
const MANY = 100_000
const FEW = 10_000

const CHANGES = 100
/** A run of few changes takes some milliseconds: many rounds are cheap, and few would be inconclusive. */
const TURNS = 20

const FULL_TARGET = 0.5
const DELTA_TARGET = 1.5

/** The cost of sinks of the kind postgres: all users of a pool into Django's table, no change, and few changes. */
export const sinks: Section = {
  name: 'sinks',
  async measure(surroundings) {
    await using cleanup = new AsyncDisposableStack()
    const [small, big] = await fillPools(surroundings, [FEW, MANY], {
      password_hash: { algorithm: 'pbkdf2_sha256', iterations: 1 },
    })
    if (!small || !big) throw new Error('the pools were not created')
    const systems = {
      small: await createSystem(surroundings, 'django_small', cleanup),
      big: await createSystem(surroundings, 'django_big', cleanup),
    }
    const full = await measureFull(surroundings, big, systems.big)
    await newTarget(surroundings, small, systems.small)
    await runTarget(surroundings, small)
    const unchanged = await measureUnchanged(surroundings, big, small)
    const delta = await measureDelta(surroundings, big, small)
    return {
      rows: [...full.rows, ...unchanged.rows, ...delta.rows],
      raw: { unit: 'ms', full: full.raw, unchanged: unchanged.raw, delta: delta.raw },
    }
  },
}

/** All users into an empty table, against psql's COPY of the same rows. */
async function measureFull(surroundings: Surroundings, pool: Pool, system: System): Promise<SectionResult> {
  const run = async () => {
    await newTarget(surroundings, pool, system)
    const { kind, added_count, milliseconds } = await runTarget(surroundings, pool)
    if (kind !== 'full' || added_count !== pool.users) throw new Error(`${kind} run of ${added_count} users`)
    return milliseconds
  }
  surroundings.progress('first run')
  await run()
  const copy = await copyInto(surroundings, system)
  const title = `${count(pool.users)} users into a sink`
  const figures = await inTurns(surroundings, { title, rounds: surroundings.options.rounds }, { copy, run })
  const ratio = ratioOf(figures.copy, figures.run)
  const row = { what: `${count(pool.users)} users into auth_user`, measured: milliseconds(median(figures.run)) }
  if (ratio === undefined || !copy) return { rows: [{ ...row, yardstick: 'psql \\copy: not run' }], raw: figures }
  const yardstick = `psql \\copy: ${milliseconds(median(figures.copy))}`
  return { rows: [{ ...row, ratio, target: `≥ ${FULL_TARGET}`, yardstick, met: ratio >= FULL_TARGET }], raw: figures }
}

/** Runs without a change, of the large pool and of the small one. */
async function measureUnchanged(surroundings: Surroundings, big: Pool, small: Pool): Promise<SectionResult> {
  const unchanged =
    (pool: Pool): Candidate =>
    async () => {
      const { kind, milliseconds } = await runTarget(surroundings, pool)
      if (kind !== 'unchanged') throw new Error(`expected an unchanged run, got ${kind}`)
      return milliseconds
    }
  const title = 'unchanged runs'
  const figures = await inTurns(
    surroundings,
    { title, rounds: TURNS },
    { big: unchanged(big), small: unchanged(small) },
  )
  return { rows: [comparison(`unchanged sink of ${count(big.users)} users`, figures, small)], raw: figures }
}

/** Runs after a change of 100 users, of the large pool and of the small one. */
async function measureDelta(surroundings: Surroundings, big: Pool, small: Pool): Promise<SectionResult> {
  const figures = await inTurns(
    surroundings,
    { title: 'deltas into sinks', rounds: TURNS },
    { big: await changedUsers(surroundings, big), small: await changedUsers(surroundings, small) },
  )
  const row = comparison(`${CHANGES} changed of ${count(big.users)} users into auth_user`, figures, small)
  return { rows: [{ ...row, target: `≤ ${DELTA_TARGET}`, met: row.ratio <= DELTA_TARGET }], raw: figures }
}

/** A candidate that changes 100 users that no earlier turn has changed, and then runs the target. */
async function changedUsers(surroundings: Surroundings, pool: Pool): Promise<Candidate> {
  const ids = await spreadIds(surroundings, pool, TURNS * CHANGES)
  let turn = 0
  return async () => {
    await changeUsers(
      surroundings,
      pool,
      ids.filter((_, i) => i % TURNS === turn),
    )
    turn++
    const { kind, updated_count, milliseconds } = await runTarget(surroundings, pool)
    if (kind !== 'delta' || updated_count !== CHANGES) throw new Error(`${kind} run that updated ${updated_count}`)
    return milliseconds
  }
}

function comparison(what: string, figures: { big: number[]; small: number[] }, small: Pool) {
  return {
    what,
    ratio: ratioOf(figures.big, figures.small) ?? Number.NaN,
    measured: milliseconds(median(figures.big)),
    yardstick: `of ${count(small.users)}: ${milliseconds(median(figures.small))}`,
  }
}
