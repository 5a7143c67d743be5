import {
  Allowed,
  Ask,
  BatchLink,
  call,
  counted,
  duration,
  Empty,
  Field,
  html,
  link,
  numberColumn,
  PagedTable,
  route,
  setParams,
  submitting,
  timeColumn,
  usePages,
  useState,
  useStore,
} from '../kit.js'

/** The batches whose time is over, or that are old. */
export function Lifecycle() {
  const { age_days: days = '' } = useStore(route).params
  const [age, setAge] = useState(days)
  const pages = usePages('v1/lifecycle/candidates', {
    query: { age_days: days },
    id: 'batch_id',
    everyMs: 5_000,
  })
  const [done, setDone] = useState(/** @type {ExpiryReport | undefined} */ (undefined))
  const expire = (/** @type {boolean} */ dry_run) => call('POST', 'v1/lifecycle/expire', { body: { dry_run } })
  const look = async () => {
    /** @type {ExpiryReport} */
    const { batches, deleted_count: count, protected_count: kept, more } = await expire(true)
    return {
      title: `Remove ${counted(count, 'user')}?`,
      count,
      children: html`<p>${counted(batches.length, 'batch')} past their time lose their test users. ${counted(kept, 'protected user')} stay.${more && ' There are more batches than one request removes.'}</p>`,
    }
  }
  const search = submitting(() => setParams({ age_days: age.trim(), cursor: '' }))
  return html`<div class="stack">
    <section class="panel">
      <p>The service removes a batch a few seconds after its time is over. Here is what it would remove now.</p>
      <form class="row bottom" onSubmit=${search}>
        <${Field} label="At least this old, in days" inputmode="numeric" placeholder="only what has expired" value=${age} onInput=${setAge} />
        <button type="submit">Show</button>
      </form>
      <${Allowed} scope="users:write" what="Removing">
        <div class="actions"><${Ask} text="Remove what has expired…" look=${look} action="Remove" run=${() => expire(false).then(setDone)} /></div>
      <//>
      ${done && html`<p class="notice" role="status">Removed ${counted(done.deleted_count, 'user')} of ${counted(done.batches.length, 'batch')}.${done.more && ' There are more: repeat it.'}</p>`}
    </section>
    <${PagedTable} caption="Candidates" columns=${COLUMNS} pages=${pages} empty=${html`<${Empty} title="Nothing to remove"><p>No batch of this pool ${days ? `is ${days} days old` : 'is past its time'}. Set “Remove after” when you <a href=${link(['make'])}>make users</a>.</p><//>`} />
  </div>`
}

/** @type {Column<Candidate>[]} */
const COLUMNS = [
  {
    title: 'Batch',
    isWide: true,
    cell: ({ batch_id, label }) => html`<${BatchLink} id=${batch_id} label=${label} />`,
  },
  timeColumn('Expires', 'expires_at'),
  { title: 'Age', cell: ({ age_seconds }) => duration(age_seconds) },
  numberColumn('Users', 'user_count'),
  numberColumn('Protected', 'protected_count'),
]
