import {
  column,
  currentPool,
  Empty,
  html,
  number,
  PagedTable,
  route,
  Tabs,
  timeColumn,
  usePages,
  useStore,
  words,
} from '../kit.js'

/** Who changed what, newest first. */
export function Audit() {
  const isAll = useStore(route).params['all'] === 'true'
  const pages = usePages('v1/audit', { pool: null, query: { pool: isAll ? '' : currentPool() }, everyMs: 5_000 })
  return html`<div>
    <${Tabs} label="Pools" param="all" options=${[
      { value: '', text: 'This pool' },
      { value: 'true', text: 'All pools' },
    ]} />
    <${PagedTable} caption="Changes" columns=${COLUMNS} pages=${pages} empty=${html`<${Empty} title="Nothing was changed yet" />`} />
  </div>`
}

/** @type {Column<AuditEvent>[]} */
const COLUMNS = [
  timeColumn('At', 'at'),
  column('Key', 'actor'),
  {
    title: 'Action',
    isWide: true,
    cell: ({ action, subject }) =>
      html`${action} ${subject && html`<br /><span class="muted small">${subject}</span>`}`,
  },
  column('Pool', 'pool'),
  {
    title: 'Answer',
    cell: ({ status, code }) => html`${status} ${code && html`<br /><span class="muted small">${code}</span>`}`,
  },
  {
    title: 'Counts',
    cell: ({ counts }) =>
      Object.entries(counts).map(
        ([name, count]) => html`<div>${number(count)} ${words(name.replace(/_count$/, ''))}</div>`,
      ),
  },
  { title: 'Request', cell: ({ request_id }) => html`<code class="small">${request_id ?? '–'}</code>` },
]
