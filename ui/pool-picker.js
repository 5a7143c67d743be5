import { call } from './api.js'
import { html } from './html.js'
import { useLive } from './live.js'
import { go, link, route } from './route.js'
import { can, session } from './session.js'

/**
 * Changes the pool of the page. Only an administrator can list the pools; a key of some pools knows these; any other key types the name.
 *
 * @param {{ pool: string }} props
 */
export function PoolPicker({ pool }) {
  const isAdmin = can('admin', pool)
  const { data } = useLive(
    async (signal) =>
      isAdmin ? await call('GET', 'v1/pools', { pool: null, query: { limit: 1000 }, signal }) : undefined,
    [isAdmin],
    10_000,
  )
  const { me } = session.get()
  /** @type {string[]} */
  const names =
    data?.items.map((/** @type {{ name: string }} */ each) => each.name) ?? me?.pools.map(({ name }) => name) ?? []
  const show = (/** @type {any} */ event) =>
    go(link(route.get().path.slice(0, 1), { pool: event.target.value.trim() || 'default' }))
  const isClosed = names.length > 0 && (isAdmin || me?.scopes.length === 0)
  return html`<label class="pool">
    <span>Pool</span>
    ${
      isClosed
        ? html`<select onChange=${show}>
          ${[...new Set([...names, pool])].map((name) => html`<option value=${name} selected=${name === pool}>${name}</option>`)}
        </select>`
        : html`<input value=${pool} onChange=${show} autocomplete="off" spellcheck="false" />`
    }
  </label>`
}
