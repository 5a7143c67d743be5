import { useCallback, useEffect, useState } from './html.js'
import { createStore } from './store.js'

/** Whether the operator has paused all live numbers. */
export const paused = createStore(false)

/** Longest wait between attempts while the service does not answer. */
const MAX_BACKOFF_MS = 10_000

/** Resolves when the time is over, or at once when the signal aborts. */
export const sleep = (/** @type {number} */ milliseconds, /** @type {AbortSignal} */ signal) =>
  new Promise((/** @type {(value?: undefined) => void} */ resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, milliseconds)
    signal.addEventListener('abort', end)
    if (signal.aborted) end()
  })

export const isWatched = () => !paused.get() && document.visibilityState === 'visible'

/**
 * Resolves when numbers are live and somebody can see them. A hidden tab costs the service nothing.
 *
 * @param {AbortSignal} signal
 */
export function whenWatched(signal) {
  return new Promise((/** @type {(value?: undefined) => void} */ resolve) => {
    const look = () => {
      if (!isWatched() && !signal.aborted) return
      unsubscribe()
      document.removeEventListener('visibilitychange', look)
      signal.removeEventListener('abort', look)
      resolve()
    }
    const unsubscribe = paused.subscribe(look)
    document.addEventListener('visibilitychange', look)
    signal.addEventListener('abort', look)
    look()
  })
}

/**
 * Reads something again and again while the component is on the page, and returns what it read last. After an error it goes on, so a
 * service that comes back shows without a reload.
 *
 * @template Data
 * @param {(signal: AbortSignal) => Promise<Data>} read
 * @param {unknown[]} on Reads again when one of these changes.
 * @param {number} [everyMs] Undefined: reads once, and again after errors.
 * @returns {Live<Data>}
 */
export function useLive(read, on, everyMs) {
  const key = JSON.stringify(on)
  const [turn, setTurn] = useState(0)
  const [state, setState] = useState(/** @type {{ key: string, data?: Data, error?: Error }} */ ({ key }))

  useEffect(() => {
    const ended = new AbortController()
    const { signal } = ended
    const loop = async () => {
      for (let failures = 0; !signal.aborted; ) {
        try {
          const data = await read(signal)
          failures = 0
          if (!signal.aborted) setState({ key, data })
          if (everyMs === undefined) return
        } catch (error) {
          if (signal.aborted) return
          failures++
          setState((before) => ({ ...(before.key === key ? before : { key }), error: /** @type {Error} */ (error) }))
        }
        await sleep(failures === 0 ? (everyMs ?? 0) : Math.min(MAX_BACKOFF_MS, 1_000 * 2 ** (failures - 1)), signal)
        await whenWatched(signal)
      }
    }
    void loop()
    return () => ended.abort()
  }, [key, turn, everyMs])

  const refresh = useCallback(() => setTurn((before) => before + 1), [])
  const { data, error } = state.key === key ? state : { data: undefined, error: undefined }
  return { data, error, refresh }
}
