import { Problem } from '../errors.ts'

/** Lets so many in at once; the next wait, and are refused when their time is up or too many wait already. */
export interface Admission {
  /** Resolves with the function that gives the place back. Throws `overloaded`. */
  enter(): Promise<() => void>
  /** How many are in. */
  inside(): number
  /** Resolves when nobody is in. */
  empty(): Promise<void>
}

/** `places` at once; four times as many may wait, `waitMs` at the most. */
export function createAdmission(places: number, waitMs: number): Admission {
  const waiting: (() => void)[] = []
  let inside = 0
  let emptied = Promise.withResolvers<void>()
  const leave = () => {
    inside--
    if (inside === 0) emptied.resolve()
    waiting.shift()?.()
  }
  const take = () => {
    inside++
    let left = false
    return () => {
      if (!left) leave()
      left = true
    }
  }
  const refuse = () =>
    new Problem('overloaded', 'All places for this kind of work are taken. Try again.', {
      headers: { 'retry-after': '2' },
    })
  return {
    inside: () => inside,
    async empty() {
      emptied = Promise.withResolvers()
      if (inside > 0) await emptied.promise
    },
    enter() {
      if (inside < places) return Promise.resolve(take())
      if (waiting.length >= 4 * places) return Promise.reject(refuse())
      const { promise, resolve, reject } = Promise.withResolvers<() => void>()
      const admit = () => {
        clearTimeout(timer)
        resolve(take())
      }
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(admit), 1)
        reject(refuse())
      }, waitMs)
      waiting.push(admit)
      return promise
    },
  }
}
