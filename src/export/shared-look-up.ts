interface Turn<Value> {
  /** Resolves when the read has ended, well or not. */
  ended: Promise<void>
  /** The read after it, for all who came while it ran. */
  next: Promise<Value> | undefined
}

/**
 * Shares look-ups among the requests that wait for the same key: one read of a key runs at a time, and whoever comes
 * meanwhile waits for the one after it, so no answer rests on a read that began before its request came. A read that
 * fails rejects those who wait for that read. All reads of a key must ask the same.
 */
export function createSharedLookUp<Value>(): (key: string, read: () => Promise<Value>) => Promise<Value> {
  const turns = new Map<string, Turn<Value>>()

  const begin = (key: string, read: () => Promise<Value>): Promise<Value> => {
    const value = read()
    const forgetUnlessWanted = () => {
      if (!turn.next) turns.delete(key)
    }
    const turn: Turn<Value> = { ended: value.then(forgetUnlessWanted, forgetUnlessWanted), next: undefined }
    turns.set(key, turn)
    return value
  }

  return (key, read) => {
    const turn = turns.get(key)
    if (!turn) return begin(key, read)
    turn.next ??= turn.ended.then(() => begin(key, read))
    return turn.next
  }
}
