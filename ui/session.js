import { currentPool } from './route.js'
import { createStore } from './store.js'

/** The key stays in this tab: a new tab asks for it, and the end of the tab forgets it. */
const STORED_AT = 'usersync.key'

/** What the key of this tab allows. @type {Store<Session>} */
export const session = createStore(/** @type {Session} */ ({ status: 'none', me: undefined }))

export const readKey = () => sessionStorage.getItem(STORED_AT) ?? undefined

export const storeKey = (/** @type {string} */ key) => sessionStorage.setItem(STORED_AT, key)

/** Forgets a key that the service does not accept, and asks for another. */
export function askForKey() {
  sessionStorage.removeItem(STORED_AT)
  session.set({ status: 'key_needed', me: undefined })
}

/**
 * Whether the key of this tab has a scope in the present pool, or another one that is enough.
 *
 * @param {Scope} scope
 * @param {Scope} [or]
 */
export function can(scope, or = scope) {
  const { me } = session.get()
  if (me === undefined) return false
  const scopes = me.pools.find(({ name }) => name === currentPool())?.scopes ?? me.scopes
  return scopes.includes(scope) || scopes.includes(or)
}
