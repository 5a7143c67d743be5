import { useEffect, useState } from './html.js'

/**
 * @template Value
 * @param {Value} initial
 * @returns {Store<Value>}
 */
export function createStore(initial) {
  let value = initial
  /** @type {Set<() => void>} */
  const listeners = new Set()
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return
      value = next
      for (const listener of [...listeners]) listener()
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

/**
 * Returns the value of a store, and renders the component again when it changes.
 *
 * @template Value
 * @param {Store<Value>} store
 * @returns {Value}
 */
export function useStore(store) {
  const [value, setValue] = useState(() => store.get())
  useEffect(() => {
    const read = () => setValue(() => store.get())
    read() // it may have changed between the first render and this effect
    return store.subscribe(read)
  }, [store])
  return value
}
