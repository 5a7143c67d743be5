interface Dispatcher {
  dispatch(options: object, handler: object): boolean
}

/** Where the `fetch` of Node has its dispatcher (undici, lib/global.js). */
const GLOBAL_DISPATCHER = Symbol.for('undici.globalDispatcher.1')

/**
 * Options with which the `fetch` of Node has no timeouts of its own: it gives up if a response does not begin within 300 s. The caller
 * must have a timeout. Empty for other fetches, such as those of browsers.
 */
export function withoutTimeouts(): { dispatcher?: Dispatcher } {
  const { [GLOBAL_DISPATCHER]: dispatcher } = globalThis as { [GLOBAL_DISPATCHER]?: Dispatcher }
  return dispatcher ? { dispatcher: patient(dispatcher) } : {}
}

/** Returns a dispatcher that sends requests by another one, without timeouts. */
export const patient = (dispatcher: Dispatcher): Dispatcher => ({
  dispatch: (options, handler) => dispatcher.dispatch({ ...options, headersTimeout: 0, bodyTimeout: 0 }, handler),
})
