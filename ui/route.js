import { createStore } from './store.js'

export const route = createStore(parse(location.hash))

addEventListener('hashchange', () => route.set(parse(location.hash)))

/** @param {string} hash @returns {Route} */
export function parse(hash) {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split(/\?(.*)/s)
  return {
    path: path.split('/').filter(Boolean).map(decoded),
    params: Object.fromEntries(new URLSearchParams(query)),
  }
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export const currentPool = () => route.get().params['pool'] ?? 'default'

/** The address of a view, in the current pool unless `params` names one. @param {string[]} path @param {Params} [params] */
export function link(path, params = {}) {
  const all = { pool: currentPool(), ...params }
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(all)) {
    if (value === undefined || value === '' || (name === 'pool' && value === 'default')) continue
    query.set(name, String(value))
  }
  const text = query.toString()
  return `#/${path.map(encodeURIComponent).join('/')}${text && `?${text}`}`
}

/**
 * Shows another view.
 *
 * @param {string} address From `link`.
 * @param {{ replace?: boolean }} [options] `replace`: without a step in the history.
 */
export function go(address, { replace = false } = {}) {
  if (replace) location.replace(address)
  else location.assign(address)
}

/**
 * Changes parameters of the present view.
 *
 * @param {Params} changes
 */
export function setParams(changes) {
  const { path, params } = route.get()
  go(link(path, { ...params, ...changes }))
}
