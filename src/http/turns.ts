import { AsyncLocalStorage } from 'node:async_hooks'

/**
 * Begins at most `most` pieces of work in one turn of the event loop, and the others, in their order, in the turns after it.
 * Between turns the loop takes what has come over the network, so that whatever is not sent through here (health) waits for
 * `most` pieces and not for all.
 */
export function createTurns(most: number): (begin: () => void) => void {
  const waiting: (() => void)[] = []
  let begun = 0
  const nextTurn = () => {
    begun = Math.min(most, waiting.length)
    if (begun > 0) setImmediate(nextTurn)
    for (const begin of waiting.splice(0, begun)) begin()
  }
  return (begin) => {
    if (begun >= most) return void waiting.push(AsyncLocalStorage.bind(begin))
    if (begun === 0) setImmediate(nextTurn)
    begun++
    begin()
  }
}
