import { number, percent, shortId } from '../format.js'
import { html } from '../html.js'
import { Badge, Time } from '../parts/facts.js'
import { Empty } from '../parts/notice.js'
import { usePages } from '../parts/pages.js'
import { PagedTable } from '../parts/table.js'
import { link, route } from '../route.js'
import { useStore } from '../store.js'

const STATUSES = /** @type {const} */ ([
  ...['queued', 'running', 'completed'],
  ...['completed_with_failures', 'cancelled', 'failed'],
])

const idOf = (/** @type {BatchItem} */ { id }) => id

/** @type {Column<BatchItem>[]} */
export const BATCH_COLUMNS = [
  {
    title: 'Batch',
    isWide: true,
    cell: ({ id, label }) => html`<a href=${link(['batches', id])} title=${id}>${label || shortId(id)}</a>`,
  },
  { title: 'Status', cell: (batch) => html`<${Badge} status=${batch.status} />` },
  { title: 'Progress', cell: (batch) => html`<${Progress} batch=${batch} />` },
  { title: 'Users', isNumber: true, cell: ({ created_count }) => number(created_count) },
  { title: 'Of', isNumber: true, cell: ({ total_requested }) => number(total_requested) },
  { title: 'Failed', isNumber: true, cell: ({ failed_count }) => number(failed_count) },
  { title: 'Created', cell: ({ created_at }) => html`<${Time} at=${created_at} />` },
]

/** @param {{ batch: BatchItem }} props */
export const Progress = ({ batch: { progress, label, id } }) => html`<span class="progress">
  <progress value=${progress} max="1" aria-label=${`Progress of ${label || id}`}></progress>
  <span class="number">${percent(progress)}</span>
</span>`

/** @param {{ stats: PoolStats | undefined }} props All batches of the pool, newest first. */
export function Batches({ stats }) {
  const { status } = useStore(route).params
  const pages = usePages('v1/batches', {
    query: { ...(status && { status }) },
    idOf,
    gone: (/** @type {any} */ batch) => (status ? { ...batch, status: `no longer ${status}` } : batch),
    everyMs: 2_000,
  })
  const counts = stats?.batches
  const total = counts && Object.values(counts).reduce((sum, count) => sum + count, 0)
  const empty = status
    ? html`<${Empty} title="No such batch"><p>No batch of this pool has this status.</p><//>`
    : html`<${Empty} title="No batch yet">
        <p>A batch creates users in bulk, from one to millions.</p>
        <p><a class="button primary" href=${link(['make'])}>Make users</a></p>
      <//>`
  return html`<div>
    <nav class="tabs" aria-label="Status">
      <${Tab} status="" current=${status} count=${total} />
      ${STATUSES.map((each) => html`<${Tab} status=${each} current=${status} count=${counts?.[/** @type {'queued'} */ (each)]} />`)}
    </nav>
    <${PagedTable} caption="Batches" columns=${BATCH_COLUMNS} pages=${pages} idOf=${idOf} empty=${empty} />
  </div>`
}

/** @param {{ status: string, current: string | undefined, count: number | undefined }} props */
const Tab = ({ status, current = '', count }) => html`<a
  href=${link(['batches'], { status })}
  aria-current=${status === current ? 'true' : undefined}
  >${status === '' ? 'All' : status.replaceAll('_', ' ')}${count !== undefined && html` <span class="count">${number(count)}</span>`}</a
>`
