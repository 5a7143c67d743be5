import { AsyncLocalStorage } from 'node:async_hooks'

/** For so long work that waits is put off at the most by what is more urgent. */
const LONGEST_YIELD_MS = 100

/**
 * Begins at most `most` pieces of work in one turn of the event loop, and the others, in their order, in the turns after it.
 * Between turns the loop takes what has come over the network, so that whatever is not sent through here (health) waits for
 * `most` pieces and not for all. A turn in which something more urgent came (`cameUrgent`, asked once a turn) begins none of
 * those that wait, for a tenth of a second at the most. Where `mostWaiting` wait already, a further one begins at once: a single
 * connection can send requests faster than they are begun.
 */
export function createTurns(most: number, mostWaiting: number, cameUrgent: () => boolean): (begin: () => void) => void {
  const waiting: (() => void)[] = []
  let begun = 0
  let lastBegin = 0
  const nextTurn = () => {
    const urgent = cameUrgent()
    if (waiting.length === 0) {
      begun = 0
      return
    }
    setImmediate(nextTurn)
    begun = most
    if (urgent && performance.now() - lastBegin < LONGEST_YIELD_MS) return
    lastBegin = performance.now()
    begun = Math.min(most, waiting.length)
    for (const begin of waiting.splice(0, begun)) begin()
  }
  return (begin) => {
    if (begun >= most) {
      if (waiting.length < mostWaiting) waiting.push(AsyncLocalStorage.bind(begin))
      else begin()
      return
    }
    if (begun === 0) {
      lastBegin = performance.now()
      setImmediate(nextTurn)
    }
    begun++
    begin()
  }
}
