import { setImmediate as endOfTurn } from 'node:timers/promises'

interface Line<Value> {
  /** Of each read that runs: resolves when it has ended, well or not. */
  reads: Set<Promise<void>>
  /** The read that has not begun, for all who came since the last one did. */
  next: Promise<Value> | undefined
}

/**
 * Shares look-ups among the requests that wait for the same key: at most `atOnce` reads of a key run at a time, and whoever
 * comes meanwhile waits for the one after them, so no answer rests on a read that began before its request came. A read begins
 * when the turn of the event loop ends, so those whose requests it brought share one. A read that fails rejects those who wait
 * for that read. All reads of a key must ask the same.
 */
export function createSharedLookUp<Value>(atOnce: number): (key: string, read: () => Promise<Value>) => Promise<Value> {
  const lines = new Map<string, Line<Value>>()

  async function readNext(key: string, line: Line<Value>, read: () => Promise<Value>): Promise<Value> {
    await (line.reads.size < atOnce ? endOfTurn() : Promise.race(line.reads))
    line.next = undefined
    const value = read()
    const forget = () => {
      line.reads.delete(ended)
      if (line.reads.size === 0 && !line.next) lines.delete(key)
    }
    const ended = value.then(forget, forget)
    line.reads.add(ended)
    return await value
  }

  return (key, read) => {
    const line = lines.get(key) ?? { reads: new Set(), next: undefined }
    lines.set(key, line)
    line.next ??= readNext(key, line, read)
    return line.next
  }
}
