import { Empty, html, link, number, PagedTable, route, Time, usePages, useStore } from '../kit.js'

const idOf = (/** @type {AuditEvent} */ { id }) => id

/** @param {{ pool: string }} props Who changed what, newest first. */
export function Audit({ pool }) {
  const isAll = useStore(route).params['all'] === 'true'
  const pages = usePages('v1/audit', { pool: null, query: { ...(!isAll && { pool }) }, idOf, everyMs: 5_000 })
  return html`<div>
    <nav class="tabs" aria-label="Pools">
      <a href=${link(['audit'])} aria-current=${isAll ? undefined : 'true'}>This pool</a>
      <a href=${link(['audit'], { all: true })} aria-current=${isAll ? 'true' : undefined}>All pools</a>
    </nav>
    <${PagedTable} caption="Changes" columns=${COLUMNS} pages=${pages} idOf=${idOf} empty=${html`<${Empty} title="Nothing was changed yet" />`} />
  </div>`
}

/** @type {Column<AuditEvent>[]} */
const COLUMNS = [
  { title: 'At', cell: ({ at }) => html`<${Time} at=${at} />` },
  { title: 'Key', cell: ({ actor }) => actor ?? '–' },
  {
    title: 'Action',
    isWide: true,
    cell: ({ action, subject }) =>
      html`${action} ${subject && html`<br /><span class="muted small">${subject}</span>`}`,
  },
  { title: 'Pool', cell: ({ pool }) => pool ?? '–' },
  {
    title: 'Answer',
    cell: ({ status, code }) => html`${status} ${code && html`<br /><span class="muted small">${code}</span>`}`,
  },
  {
    title: 'Counts',
    cell: ({ counts }) =>
      Object.entries(counts).map(
        ([name, count]) => html`<div>${number(count)} ${name.replace(/_count$/, '').replaceAll('_', ' ')}</div>`,
      ),
  },
  { title: 'Request', cell: ({ request_id }) => html`<code class="small">${request_id ?? '–'}</code>` },
]
