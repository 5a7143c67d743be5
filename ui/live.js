import { call, urlOf } from './api.js'
import { useCallback, useEffect, useState } from './html.js'
import { createStore } from './store.js'

/** Whether the operator has paused all live numbers. */
export const paused = createStore(false)

/** Whether numbers are live and somebody can see them. A hidden tab costs the service nothing. */
export const watched = createStore(false)
const look = () => watched.set(!paused.get() && document.visibilityState === 'visible')
paused.subscribe(look)
document.addEventListener('visibilitychange', look)
look()

/** Longest wait between attempts while the service does not answer. */
const MAX_BACKOFF_MS = 10_000

/**
 * Resolves when `wait` calls its argument, or at once when the signal aborts.
 *
 * @param {AbortSignal} signal
 * @param {(done: () => void) => () => void} wait Returns a function that ends it.
 */
const resolved = (signal, wait) =>
  new Promise((/** @type {(value?: undefined) => void} */ resolve) => {
    const done = () => {
      end()
      signal.removeEventListener('abort', done)
      resolve()
    }
    const end = wait(done)
    signal.addEventListener('abort', done)
    if (signal.aborted) done()
  })

export const sleep = (/** @type {number} */ milliseconds, /** @type {AbortSignal} */ signal) =>
  resolved(signal, (done) => {
    const timer = setTimeout(done, milliseconds)
    return () => clearTimeout(timer)
  })

export const whenWatched = async (/** @type {AbortSignal} */ signal) =>
  watched.get() || resolved(signal, watched.subscribe)

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

/**
 * Reads a route as `useLive` does. Without a path it reads nothing.
 *
 * @param {string | false} path
 * @param {Pick<ApiRequest, 'query' | 'pool'> & { everyMs?: number | undefined }} [request]
 * @returns {Live<any>}
 */
export const useCall = (path, { everyMs, ...request } = {}) =>
  useLive(
    async (signal) => (path ? await call('GET', path, { ...request, signal }) : undefined),
    [path && urlOf(path, request)],
    path ? everyMs : undefined,
  )
