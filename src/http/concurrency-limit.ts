import { retryLater } from '../errors.ts'

/** Limits concurrency: callers beyond the limit wait, and fail with `overloaded` if they wait too long or too many wait. */
export interface ConcurrencyLimit {
  /** Resolves with the function that releases the place. Throws `overloaded`. */
  acquire(key?: string): Promise<() => void>
  /** The number of running callers. */
  active(): number
  /** Resolves when no caller runs or waits. */
  idle(): Promise<void>
}

/** The maximum number of waiting callers, as a multiple of the places. */
const WAITING_PER_PLACE = 4

const refuse = () => retryLater('overloaded', 'All places for this kind of work are taken. Try again.', 2)

/** Up to `places` callers run, at most `placesPerKey` of them with the same key. Each other caller waits up to `waitMs`. */
export function createConcurrencyLimit(places: number, waitMs: number, placesPerKey = places): ConcurrencyLimit {
  const waiting: { key: string; admit: () => void }[] = []
  const activeByKey = new Map<string, number>()
  const whenIdle: (() => void)[] = []
  let active = 0

  const activeOf = (key: string) => activeByKey.get(key) ?? 0
  const hasPlace = (key: string) => active < places && activeOf(key) < placesPerKey

  function acquirePlace(key: string): () => void {
    active++
    activeByKey.set(key, activeOf(key) + 1)
    let left = false
    return () => {
      if (!left) release(key)
      left = true
    }
  }

  function release(key: string): void {
    active--
    if (activeOf(key) === 1) activeByKey.delete(key)
    else activeByKey.set(key, activeOf(key) - 1)
    const next = waiting.findIndex((waiter) => hasPlace(waiter.key))
    if (next >= 0) waiting.splice(next, 1)[0]?.admit()
    if (active === 0) for (const resolve of whenIdle.splice(0)) resolve()
  }

  const isLineFull = (key: string) =>
    waiting.length >= WAITING_PER_PLACE * places ||
    waiting.filter((waiter) => waiter.key === key).length >= WAITING_PER_PLACE * placesPerKey

  return {
    active: () => active,
    idle: () => (active === 0 ? Promise.resolve() : new Promise((resolve) => void whenIdle.push(resolve))),
    acquire(key = '') {
      if (hasPlace(key)) return Promise.resolve(acquirePlace(key))
      if (isLineFull(key)) return Promise.reject(refuse())
      const { promise, resolve, reject } = Promise.withResolvers<() => void>()
      const waiter = {
        key,
        admit() {
          clearTimeout(timer)
          resolve(acquirePlace(key))
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
