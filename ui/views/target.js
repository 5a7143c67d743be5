import { call } from '../api.js'
import { counted, duration, number, shortId, words } from '../format.js'
import { html, useState } from '../html.js'
import { useLive } from '../live.js'
import { Badge } from '../parts/badge.js'
import { Confirm } from '../parts/confirm.js'
import { ErrorNotice, Loading, NotAllowed } from '../parts/notice.js'
import { usePages } from '../parts/pages.js'
import { PagedTable } from '../parts/table.js'
import { Time } from '../parts/time.js'
import { link } from '../route.js'
import { can } from '../session.js'
import { useTargets } from './targets.js'

/** @param {{ pool: string, id: string }} props One target: its state, what can be done, its runs and failures. */
export function Target({ pool, id: name }) {
  const { data, error, refresh } = useTargets(pool, 3_000)
  const isAdmin = can('admin', pool)
  const { data: settings } = useLive(
    async (signal) => (isAdmin ? await call('GET', `v1/targets/${encodeURIComponent(name)}`, { signal }) : undefined),
    [name, isAdmin],
  )
  const status = data?.items.find(({ target }) => target === name)
  if (!data) return error ? html`<${ErrorNotice} error=${error} />` : html`<${Loading} />`
  if (!status)
    return html`<p>This pool has no target ${name} that the key may see. <a href=${link(['targets'])}>See all targets.</a></p>`
  const isSink = settings && settings.kind !== 'usersync'
  return html`<div class="stack">
    <nav aria-label="Path" class="path"><a href=${link(['targets'])}>Targets</a> / ${name}</nav>
    <section class="panel">
      <div class="heading"><h2>${name}</h2><${Badge} status=${status.in_step ? 'in_step' : 'not_in_step'} /></div>
      ${status.remote_failure && html`<p class="notice warn">Its state is unknown: ${status.remote_failure}</p>`}
      <dl class="facts">
        ${
          settings &&
          html`<div><dt>Kind</dt><dd>${settings.kind}</dd></div>
          <div><dt>Pushed every</dt><dd>${settings.interval_seconds === null ? 'on request only' : duration(settings.interval_seconds)}</dd></div>
          <div><dt>Address</dt><dd>${settings.url}</dd></div>`
        }
        <div><dt>State here</dt><dd><code class="wrap">${status.local_state}</code></dd></div>
        <div><dt>State there</dt><dd><code class="wrap">${status.remote_state ?? 'unknown'}</code></dd></div>
      </dl>
      <${Actions} name=${name} pool=${pool} isSink=${isSink} refresh=${refresh} />
    </section>
    <${Failures} name=${name} />
    <${Runs} name=${name} />
  </div>`
}

/** @param {{ name: string, pool: string, isSink: boolean | undefined, refresh: () => void }} props `isSink` undefined: the key may not know. */
function Actions({ name, pool, isSink, refresh }) {
  const [state, setState] = useState(/** @type {{ busy?: string, error?: Error, result?: object }} */ ({}))
  const [isClearing, setClearing] = useState(false)
  const act =
    (/** @type {string} */ busy, /** @type {string} */ path, /** @type {object} */ body, isShown = false) =>
    async () => {
      setState({ busy })
      try {
        const result = await call('POST', path, { body })
        setState(isShown ? { result } : {})
        refresh()
      } catch (error) {
        setState({ error: /** @type {Error} */ (error) })
      }
    }
  const button = (/** @type {string} */ text, /** @type {() => void} */ onClick) =>
    html`<button type="button" disabled=${state.busy !== undefined} onClick=${onClick}>${state.busy === text ? 'Working…' : text}</button>`
  return html`<div class="stack">
    <div class="actions">
      ${
        can('users:write', pool) &&
        html`${button('Sync now', act('Sync now', 'v1/sync', { target: name }))}
        ${button('Send everything', act('Send everything', 'v1/sync', { target: name, full: true }))}`
      }
      ${isSink === true && can('admin', pool) && button('Dry run', act('Dry run', 'v1/sync', { target: name, dry_run: true }, true))}
      ${isSink === false && button('Verify', act('Verify', 'v1/sync/verify', { target: name }, true))}
      ${isSink === true && can('users:write', pool) && html`<button type="button" class="danger" onClick=${() => setClearing(true)}>Remove our users there…</button>`}
    </div>
    ${!can('users:write', pool) && html`<${NotAllowed} scope="users:write" what="Pushing to a target" />`}
    <${ErrorNotice} error=${state.error} />
    ${state.result && html`<pre tabindex="0" role="region" aria-label="Result"><code>${JSON.stringify(state.result, null, 2)}</code></pre>`}
    ${
      isClearing &&
      html`<${Confirm} title=${`Remove our users from ${name}?`} action="Remove them" close=${() => setClearing(false)} run=${async () => {
        await call('POST', `v1/targets/${encodeURIComponent(name)}/clear`)
        refresh()
      }}>
      <p>A run removes what we put there, and nothing else. It ends the interval of the target.</p>
    <//>`
    }
  </div>`
}

/** @param {{ name: string }} props */
function Runs({ name }) {
  const idOf = (/** @type {Run} */ { id }) => id
  const pages = usePages('v1/sync/runs', { query: { target: name }, idOf, everyMs: 2_000 })
  return html`<section class="panel">
    <h2>Runs</h2>
    <${PagedTable} caption="Runs" columns=${RUN_COLUMNS} pages=${pages} idOf=${idOf} empty=${html`<p class="muted">None yet. Sync now makes one.</p>`} />
  </section>`
}

/** @type {Column<Run>[]} */
const RUN_COLUMNS = [
  { title: 'At', cell: ({ created_at }) => html`<${Time} at=${created_at} />` },
  { title: 'Status', cell: ({ status }) => html`<${Badge} status=${status} />` },
  { title: 'What', cell: ({ clear, full, kind }) => (clear ? 'clear' : (kind ?? (full ? 'full' : '–'))) },
  { title: 'Added', isNumber: true, cell: ({ added_count }) => number(added_count) },
  { title: 'Updated', isNumber: true, cell: ({ updated_count }) => number(updated_count) },
  { title: 'Deleted', isNumber: true, cell: ({ deleted_count }) => number(deleted_count) },
  { title: 'Took', isNumber: true, cell: ({ duration_ms: took }) => (took === null ? '–' : duration(took / 1000)) },
  {
    title: 'Canary',
    cell: ({ canary }) =>
      canary === null
        ? '–'
        : `${canary.ok ? 'ok' : 'failed'}, ${counted(canary.users, 'login')}, ${canary.first_login_ms ?? '–'} ms${canary.rehash_suspected ? ', hashes again' : ''}`,
  },
  { title: 'Why not', isWide: true, cell: ({ failure, detail }) => detail ?? failure ?? '' },
]

/** @param {{ name: string }} props The users that the target refused. */
function Failures({ name }) {
  const idOf = (/** @type {{ user_id: string }} */ { user_id }) => user_id
  const pages = usePages(`v1/targets/${encodeURIComponent(name)}/failures`, { idOf, everyMs: 5_000 })
  if (pages.items?.length === 0) return null
  return html`<section class="panel">
    <h2>Users that it refused</h2>
    <${PagedTable} caption="Failures" columns=${FAILURE_COLUMNS} pages=${pages} idOf=${idOf} empty=${null} />
  </section>`
}

/** @type {Column<{ user_id: string, username: string | null, operation: string, code: string, detail: string, tried_at: string }>[]} */
const FAILURE_COLUMNS = [
  {
    title: 'User',
    cell: ({ user_id, username }) => html`<a href=${link(['users', user_id])}>${username ?? shortId(user_id)}</a>`,
  },
  { title: 'Operation', cell: ({ operation }) => operation },
  { title: 'Why', isWide: true, cell: ({ code, detail }) => html`${words(code)}: ${detail}` },
  { title: 'Tried', cell: ({ tried_at }) => html`<${Time} at=${tried_at} />` },
]
