import { KeyForm } from './key-form.js'
import {
  Allowed,
  askForKey,
  call,
  can,
  connection,
  go,
  html,
  link,
  number,
  paused,
  readKey,
  render,
  route,
  session,
  useCall,
  useEffect,
  useLive,
  useRef,
  useStore,
  Waiting,
} from './kit.js'
import { VIEWS } from './views.js'

/** The page around the views: side bar, state of the connection, and the key. */
function Shell() {
  const { status } = useStore(session)
  const { path, params } = useStore(route)
  const isLost = useStore(connection) === 'lost'
  const { error, refresh } = useLive(readMe, [])
  useEffect(() => connection.subscribe(() => connection.get() === 'present' && refresh()), [refresh])

  const pool = params['pool'] ?? 'default'
  useEffect(() => leavePoolWithoutScopes(pool), [status, pool])
  const entry = VIEWS.find(({ name }) => name === path[0]) ?? VIEWS[0]
  const isReady = status === 'ready' && can('users:read')
  const { data: stats, error: statsError } = useCall(isReady && 'v1/stats', { everyMs: 3_000 })
  const main = useRef(/** @type {HTMLElement | null} */ (null))
  const place = path.join('/')
  const placeBefore = useRef(place)
  useEffect(() => {
    document.title = `${entry?.title ?? ''} · usersync`
    // On a phone the views are one line, which is longer than the screen. After `scrollIntoView`, Tab would start there.
    const here = /** @type {HTMLElement | null} */ (document.querySelector('.side [aria-current]'))
    here?.closest('ul')?.scroll(here.offsetLeft - 99, 0)
    scrollTo(0, 0)
    // The link that was followed is gone.
    if (placeBefore.current !== place && path.length > 1) main.current?.focus()
    placeBefore.current = place
  }, [place, status])

  const title = path.length > 0 && entry?.name !== path[0] ? 'Not found' : entry?.title
  return html`<div class="shell">
    <a class="skip" href="#main" onClick=${(/** @type {Event} */ event) => skipTo(event, main.current)}>Skip to the content</a>
    <header class="bar">
      <a class="brand" href=${link([])}><img src="icon.svg" alt="" width="24" height="24" />usersync</a>
      ${status === 'ready' && html`<${PoolPicker} pool=${pool} />`}
      <${PauseButton} />
    </header>
    ${
      status === 'ready' &&
      html`<nav class="side" aria-label="Views">
      <ul>
        ${VIEWS.map(
          ({ name, title, count, scope, or }) =>
            html`<li>
              <a href=${link([name])} aria-current=${entry?.name === name ? 'page' : undefined}>
                <span>${title}</span>
                ${!can(scope, or) ? html`<span class="muted small">no access</span>` : count && stats && count(stats) > 0 && html`<span class="count">${number(count(stats))}</span>`}
              </a>
            </li>`,
        )}
      </ul>
      <${KeyState} />
    </nav>`
    }
    <main id="main" tabindex="-1" ref=${main}>
      <div role="status">
        ${isLost && html`<p class="notice warn"><strong>The service does not answer.</strong> The page tries again by itself.</p>`}
      </div>
      ${status === 'none' && !isLost && html`<${Waiting} error=${error} />`}
      ${status === 'key_needed' && html`<${KeyForm} onAccepted=${refresh} />`}
      ${
        status === 'ready' &&
        html`<h1>${title}</h1>
        <${Current} key=${`${place} ${pool}`} entry=${entry} path=${path} stats=${stats} statsError=${statsError} />`
      }
    </main>
  </div>`
}

/** @param {{ entry: ViewEntry, path: string[], stats: any, statsError: Error | undefined }} props */
function Current({ entry, path, stats, statsError }) {
  const [name, id, ...more] = path
  const isFound =
    more.length === 0 && (name === undefined || (name === entry.name && (id === undefined || entry.Detail)))
  if (!isFound) return html`<p>There is no such view.</p>`
  const { title, scope, or, View, Detail } = entry
  return html`<${Allowed} scope=${scope} or=${or} what=${title}>
    ${id === undefined ? html`<${View} stats=${stats} statsError=${statsError} />` : html`<${Detail} id=${id} />`}
  <//>`
}

/** Reads what the key allows. */
async function readMe(/** @type {AbortSignal} */ signal) {
  const me = await call('GET', 'v1/me', { pool: null, signal }).catch((error) => {
    if (error.code === 'unauthorized') return undefined
    throw error
  })
  if (me) session.set({ status: 'ready', me })
}

/** A key that is bound to pools starts in the first of them. */
function leavePoolWithoutScopes(/** @type {string} */ pool) {
  const { me } = session.get()
  const first = me?.scopes.length === 0 ? me.pools[0]?.name : undefined
  if (first !== undefined && !me?.pools.some(({ name }) => name === pool)) {
    go(link(route.get().path, { pool: first }), { replace: true })
  }
}

function PauseButton() {
  const isPaused = useStore(paused)
  const state = useStore(connection) === 'lost' ? 'No answer' : 'Live'
  return html`<button type="button" class="pause" aria-pressed=${isPaused} onClick=${() => paused.set(!isPaused)}>
    <span class=${`dot ${isPaused ? '' : 'on'}`} aria-hidden="true"></span>${isPaused ? 'Paused' : state}
  </button>`
}

function KeyState() {
  const { me } = useStore(session)
  if (me === undefined) return null
  if (me.name === null)
    return html`<p class="key muted small">No keys are configured: every program on this machine has access.</p>`
  return html`<div class="key small">
    <p>Key <strong>${me.name}</strong></p>
    <p class="muted">${[...new Set([...me.scopes, ...me.pools.flatMap(({ scopes }) => scopes)])].join(', ')}</p>
    ${readKey() && html`<button type="button" onClick=${askForKey}>Forget the key</button>`}
  </div>`
}

/** The address is that of the view, so a link to #main would leave it. */
function skipTo(/** @type {Event} */ event, /** @type {HTMLElement | null} */ main) {
  event.preventDefault()
  main?.focus()
}

/** Changes the pool. Only an administrator can list the pools; a key of some pools knows these; any other key types the name. @param {{ pool: string }} props */
function PoolPicker({ pool }) {
  const isAdmin = can('admin')
  const { data } = useCall(isAdmin && 'v1/pools', { pool: null, query: { limit: 1000 }, everyMs: 10_000 })
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

const page = document.getElementById('page')
if (page) {
  page.textContent = ''
  render(html`<${Shell} />`, page)
}
