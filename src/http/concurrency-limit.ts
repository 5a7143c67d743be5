import { Problem } from '../errors.ts'

/** Limits concurrency: callers beyond the limit wait, and fail with `overloaded` if they wait too long or too many wait. */
export interface Admission {
  /** Resolves with the function that releases the place. Throws `overloaded`. */
  enter(key?: string): Promise<() => void>
  /** The number of running callers. */
  inside(): number
  /** Resolves when no caller runs or waits. */
  empty(): Promise<void>
}

/** The maximum number of waiting callers, as a multiple of the places. */
const WAITING_PER_PLACE = 4

const refuse = () =>
  new Problem('overloaded', 'All places for this kind of work are taken. Try again.', {
    headers: { 'retry-after': '2' },
  })

/** Up to `places` callers run, at most `placesPerKey` of them with the same key. Each other caller waits up to `waitMs`. */
export function createAdmission(places: number, waitMs: number, placesPerKey = places): Admission {
  const waiting: { key: string; admit: () => void }[] = []
  const insideByKey = new Map<string, number>()
  const whenEmpty: (() => void)[] = []
  let inside = 0

  const insideOf = (key: string) => insideByKey.get(key) ?? 0
  const hasPlace = (key: string) => inside < places && insideOf(key) < placesPerKey

  function take(key: string): () => void {
    inside++
    insideByKey.set(key, insideOf(key) + 1)
    let left = false
    return () => {
      if (!left) leave(key)
      left = true
    }
  }

  function leave(key: string): void {
    inside--
    if (insideOf(key) === 1) insideByKey.delete(key)
    else insideByKey.set(key, insideOf(key) - 1)
    const next = waiting.findIndex((waiter) => hasPlace(waiter.key))
    if (next >= 0) waiting.splice(next, 1)[0]?.admit()
    if (inside === 0) for (const resolve of whenEmpty.splice(0)) resolve()
  }

  const isLineFull = (key: string) =>
    waiting.length >= WAITING_PER_PLACE * places ||
    waiting.filter((waiter) => waiter.key === key).length >= WAITING_PER_PLACE * placesPerKey

  return {
    inside: () => inside,
    empty: () => (inside === 0 ? Promise.resolve() : new Promise((resolve) => void whenEmpty.push(resolve))),
    enter(key = '') {
      if (hasPlace(key)) return Promise.resolve(take(key))
      if (isLineFull(key)) return Promise.reject(refuse())
      const { promise, resolve, reject } = Promise.withResolvers<() => void>()
      const waiter = {
        key,
        admit() {
          clearTimeout(timer)
          resolve(take(key))
        },
      }
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(waiter), 1)
        reject(refuse())
      }, waitMs)
      waiting.push(waiter)
      return promise
    },
  }
}
