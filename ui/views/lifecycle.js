import { call } from '../api.js'
import { counted, duration, number, shortId } from '../format.js'
import { html, useState } from '../html.js'
import { Confirm } from '../parts/confirm.js'
import { Field } from '../parts/field.js'
import { Empty, ErrorNotice, NotAllowed } from '../parts/notice.js'
import { usePages } from '../parts/pages.js'
import { PagedTable } from '../parts/table.js'
import { Time } from '../parts/time.js'
import { link, route, setParams } from '../route.js'
import { can } from '../session.js'
import { useStore } from '../store.js'

const idOf = (/** @type {Candidate} */ { batch_id }) => batch_id

/** @param {{ pool: string }} props The batches whose time is over, or that are old. */
export function Lifecycle({ pool }) {
  const { age_days: days } = useStore(route).params
  const pages = usePages('v1/lifecycle/candidates', {
    query: { ...(days && { age_days: days }) },
    idOf,
    everyMs: 5_000,
  })
  const [planned, setPlanned] = useState(/** @type {ExpiryReport | undefined} */ (undefined))
  const [state, setState] = useState(/** @type {{ done?: ExpiryReport, error?: Error }} */ ({}))
  const expire = (/** @type {boolean} */ dry_run) => call('POST', 'v1/lifecycle/expire', { body: { dry_run } })
  const plan = () => {
    setState({})
    expire(true).then(setPlanned, (error) => setState({ error }))
  }
  return html`<div class="stack">
    <section class="panel">
      <p>The service removes a batch a few seconds after its time is over. Here is what it would remove now, and what is old.</p>
      <div class="row bottom">
        <${Field} label="At least this old, in days" inputmode="numeric" placeholder="only what has expired" value=${days ?? ''} onInput=${(/** @type {string} */ value) => setParams({ age_days: value.replaceAll(/[^\d.]/g, ''), cursor: '' }, { replace: true })} />
        ${can('users:write', pool) && html`<button type="button" onClick=${plan}>Remove what has expired…</button>`}
      </div>
      ${!can('users:write', pool) && html`<${NotAllowed} scope="users:write" what="Removing" />`}
      <${ErrorNotice} error=${state.error} />
      ${state.done && html`<p class="notice" role="status">Removed ${counted(state.done.deleted_count, 'user')} of ${counted(state.done.batches.length, 'batch')}.${state.done.more && ' There are more: repeat it.'}</p>`}
    </section>
    <${PagedTable} caption="Candidates" columns=${COLUMNS} pages=${pages} idOf=${idOf} empty=${html`<${Empty} title="Nothing to remove"><p>No batch of this pool ${days ? `is ${days} days old` : 'is past its time'}. Set “Remove after” when you <a href=${link(['make'])}>make users</a>.</p><//>`} />
    ${
      planned &&
      html`<${Confirm} title=${`Remove ${counted(planned.deleted_count, 'user')}?`} action="Remove" count=${planned.deleted_count} close=${() => setPlanned(undefined)} run=${() => expire(false).then((done) => setState({ done }))}>
      <p>${counted(planned.batches.length, 'batch')} past their time lose their test users. ${counted(planned.protected_count, 'protected user')} stay.${planned.more && ' There are more batches than one request removes.'}</p>
    <//>`
    }
  </div>`
}

/** @type {Column<Candidate>[]} */
const COLUMNS = [
  {
    title: 'Batch',
    isWide: true,
    cell: ({ batch_id, label }) => html`<a href=${link(['batches', batch_id])}>${label || shortId(batch_id)}</a>`,
  },
  { title: 'Expires', cell: ({ expires_at }) => html`<${Time} at=${expires_at} />` },
  { title: 'Age', cell: ({ age_seconds }) => duration(age_seconds) },
  { title: 'Users', isNumber: true, cell: ({ user_count }) => number(user_count) },
  { title: 'Protected', isNumber: true, cell: ({ protected_count }) => number(protected_count) },
]
