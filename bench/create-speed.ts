import { type Candidate, median, ratioOf } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { expectUsers } from './create-empty.ts'
import { type Row, usersPerSecond } from './report-table.ts'

/** A candidate that makes `users` users within the milliseconds that `make` gives; its figure is users a second. */
export function speed(surroundings: Surroundings, users: number, make: () => Promise<number>): Candidate {
  return async () => {
    const milliseconds = await make()
    await expectUsers(surroundings, users)
    return (users * 1000) / milliseconds
  }
}

/** The row that compares users a second; `target` is the least ratio. A yardstick without figures was not run. */
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
