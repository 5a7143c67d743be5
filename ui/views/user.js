import { call } from '../api.js'
import { shortId } from '../format.js'
import { html } from '../html.js'
import { useLive } from '../live.js'
import { Badge } from '../parts/badge.js'
import { ErrorNotice, Loading } from '../parts/notice.js'
import { usePages } from '../parts/pages.js'
import { PagedTable } from '../parts/table.js'
import { Time } from '../parts/time.js'
import { link } from '../route.js'

const idOf = (/** @type {Holding} */ { lease_id }) => lease_id

/** @param {{ id: string }} props One user, with its attributes and who had it. */
export function User({ id }) {
  const { data: user, error } = useLive(
    (signal) => call('GET', `v1/users/${encodeURIComponent(id)}`, { signal }),
    [id],
    5_000,
  )
  if (!user) return error ? html`<${ErrorNotice} error=${error} />` : html`<${Loading} />`
  /** @type {[string, Children][]} */
  const facts = [
    ['E-mail', user.email],
    ['Role', user.role],
    ['Batch', user.batch_id ? html`<a href=${link(['batches', user.batch_id])}>${shortId(user.batch_id)}</a>` : '–'],
    ['Created', html`<${Time} at=${user.created_at} />`],
    ['Changed', html`<${Time} at=${user.updated_at} />`],
    ['Id', html`<code class="wrap">${user.id}</code>`],
  ]
  return html`<div class="stack">
    <nav aria-label="Path" class="path"><a href=${link(['users'])}>Users</a> / ${user.username}</nav>
    <section class="panel">
      <div class="heading">
        <h2>${user.username}</h2>
        <${Badge} status=${user.is_test_user ? 'test_user' : 'protected'} />
      </div>
      <dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    </section>
    <section class="panel">
      <h2>Attributes</h2>
      <pre tabindex="0" role="region" aria-label="Attributes"><code>${JSON.stringify(user.custom_attributes, null, 2)}</code></pre>
    </section>
    <${Holdings} id=${user.id} />
  </div>`
}

/** @param {{ id: string }} props */
function Holdings({ id }) {
  const pages = usePages(`v1/users/${id}/leases`, { idOf, everyMs: 5_000 })
  return html`<section class="panel">
    <h2>Who had it</h2>
    <${PagedTable} caption="Leases of this user" columns=${COLUMNS} pages=${pages} idOf=${idOf} empty=${html`<p class="muted">It was never leased.</p>`} />
  </section>`
}

/** @type {Column<Holding>[]} */
const COLUMNS = [
  { title: 'Holder', isWide: true, cell: ({ owner, lease_id }) => owner || shortId(lease_id) },
  { title: 'Key', cell: ({ api_key }) => api_key ?? '–' },
  { title: 'From', cell: ({ granted_at }) => html`<${Time} at=${granted_at} />` },
  { title: 'To', cell: ({ ended_at }) => html`<${Time} at=${ended_at} />` },
  { title: 'End', cell: ({ ending, outcome }) => html`<${Badge} status=${outcome ?? ending ?? 'leased'} />` },
  { title: 'Note', cell: ({ note }) => note ?? '' },
]
