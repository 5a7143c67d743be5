import { createStore } from './store.js'

/** @typedef {{ name: string | null, scopes: Scope[], pools: { name: string, scopes: Scope[] }[] }} Me */

/** The key stays in this tab: a new tab asks for it, and the end of the tab forgets it. */
const STORED_AT = 'usersync.key'

/**
 * What the key of this tab allows. `none`: not known yet. `key_needed`: the service asks for a key, or rejected the one sent.
 *
 * @type {import('./store.js').Store<{ status: 'none' | 'key_needed' | 'ready', me: Me | undefined }>}
 */
export const session = createStore(/** @type {any} */ ({ status: 'none', me: undefined }))

export const readKey = () => sessionStorage.getItem(STORED_AT) ?? undefined

/** @param {string | undefined} key */
export function storeKey(key) {
  if (key === undefined) sessionStorage.removeItem(STORED_AT)
  else sessionStorage.setItem(STORED_AT, key)
}

/** Forgets a key that the service does not accept, and asks for another. */
export function askForKey() {
  storeKey(undefined)
  session.set({ status: 'key_needed', me: undefined })
}

/**
 * Whether the key of this tab has a scope in a pool.
 *
 * @param {Scope} scope
 * @param {string} pool
 */
export function can(scope, pool) {
  const { me } = session.get()
  if (me === undefined) return false
  return (me.pools.find(({ name }) => name === pool)?.scopes ?? me.scopes).includes(scope)
}
