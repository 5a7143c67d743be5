import { setTimeout as sleep } from 'node:timers/promises'

/** Waits until `users` more may be sent. Throws the reason of the signal. */
export type Pacer = (users: number, signal: AbortSignal) => Promise<void>

/** Spreads users evenly over time: at most this many per second, or without a limit if it is null. */
export function createPacer(perSecond: number | null): Pacer {
  let freeAt = 0
  return async (users, signal) => {
    if (perSecond === null) return
    const now = performance.now()
    const startsAt = Math.max(now, freeAt)
    freeAt = startsAt + (users / perSecond) * 1000
    if (startsAt > now) await sleep(startsAt - now, undefined, { signal }).catch(() => signal.throwIfAborted())
  }
}
