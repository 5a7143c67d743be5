import { setImmediate as endOfTurn } from 'node:timers/promises'

interface Line<Value> {
  /** One promise for each read in progress. It resolves when the read ends, failed or not. */
  reads: Set<Promise<void>>
  /** The read that has not started yet, for all callers since the last read started. */
  next: Promise<Value> | undefined
}

/**
 * Single flight per key, with at most `atOnce` reads of a key in progress. A caller that arrives meanwhile shares the
 * next read, so a result is never older than its request. A read starts at the end of an event-loop turn, so that all
 * requests of the turn share it. If a read fails, only its callers are rejected. All reads of a key must be equivalent.
 */
export function createSingleFlight<Value>(atOnce: number): (key: string, read: () => Promise<Value>) => Promise<Value> {
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
