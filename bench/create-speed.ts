import { type Candidate, median, ratioOf } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { expectUsers } from './create-empty.ts'
import { type Row, usersPerSecond } from './report-table.ts'

/** A candidate that creates `users` users in the milliseconds that `make` returns. Its figure is users per second. */
export function speed(surroundings: Surroundings, users: number, make: () => Promise<number>): Candidate {
  return async () => {
    const milliseconds = await make()
    await expectUsers(surroundings, users)
    return (users * 1000) / milliseconds
  }
}

/** The row that compares users per second; `target` is the minimum ratio. A yardstick without figures was not run. */
export function speedRow(
  what: string,
  measured: number[],
  yardstick: { name: string; figures: number[]; target?: number },
): Row {
  const { name, figures, target } = yardstick
  const ratio = ratioOf(measured, figures)
  const row = { what, ratio, measured: usersPerSecond(median(measured)) }
  if (ratio === undefined) return { ...row, yardstick: `${name}: not run` }
  return {
    ...row,
    yardstick: `${name}: ${usersPerSecond(median(figures))}`,
    ...(target === undefined ? {} : { target: `≥ ${target}`, met: ratio >= target }),
  }
}
