import type { Surroundings } from './bench-surroundings.ts'

/** Measures once and returns the figure: users per second, or milliseconds. */
export type Candidate = () => Promise<number>

/** The figures of each candidate, by round. */
export type Rounds<Name extends string = string> = Record<Name, number[]>

interface Turns {
  title: string
  rounds: number
  /** Creates the same conditions for every measurement. */
  prepare?: () => Promise<void>
}

/**
 * Measures the candidates in turns, A B C, A B C, …, so that a temporary slowdown of the machine affects all of them. An
 * undefined candidate cannot be measured on this machine and has no figures.
 */
export async function inTurns<Name extends string>(
  { progress }: Surroundings,
  { title, rounds, prepare }: Turns,
  candidates: Record<Name, Candidate | undefined>,
): Promise<Rounds<Name>> {
  const names = Object.keys(candidates) as Name[]
  const figures = Object.fromEntries(names.map((name) => [name, []])) as unknown as Rounds<Name>
  for (let round = 1; round <= rounds; round++) {
    for (const name of names) {
      const measure = candidates[name]
      if (!measure) continue
      progress(`${title}, round ${round} of ${rounds}: ${name}`)
      await prepare?.()
      figures[name].push(await measure())
    }
  }
  return figures
}

/**
 * The median of the ratios of all rounds. Both sides of a ratio come from the same few seconds. Undefined if the
 * yardstick was not measured.
 */
export function ratioOf(measured: number[], yardstick: number[]): number | undefined {
  if (yardstick.length === 0) return undefined
  return median(measured.map((figure, round) => figure / (yardstick[round] ?? Number.NaN)))
}

export const median = (figures: number[]) => percentile(figures, 50)

/**
 * The lowest figure that at least `percent` of the figures do not exceed. For an even number this is the lower median.
 * NaN without figures.
 */
export function percentile(figures: number[], percent: number): number {
  const sorted = figures.toSorted((a, b) => a - b)
  return sorted[Math.ceil((percent / 100) * sorted.length) - 1] ?? Number.NaN
}
