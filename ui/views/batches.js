import { Download, SharedPassword } from '../batch/use-users.js'
import { followBatch } from '../events.js'
import {
  Allowed,
  Ask,
  addSample,
  Badge,
  BatchLink,
  bytes,
  Chart,
  call,
  can,
  column,
  counted,
  duration,
  Empty,
  Facts,
  html,
  Json,
  link,
  number,
  numberColumn,
  PagedTable,
  Path,
  percent,
  route,
  Tabs,
  Time,
  timeColumn,
  useCall,
  useEffect,
  usePages,
  useRef,
  useState,
  useStore,
  Waiting,
  words,
} from '../kit.js'

const STATUSES = /** @type {const} */ ([
  ...['queued', 'running', 'completed'],
  ...['completed_with_failures', 'cancelled', 'failed'],
])

/** @type {Column<BatchItem>[]} */
export const BATCH_COLUMNS = [
  { title: 'Batch', isWide: true, cell: ({ id, label }) => html`<${BatchLink} id=${id} label=${label} />` },
  { title: 'Status', cell: (batch) => html`<${Badge} status=${batch.removed_at ? 'removed' : batch.status} />` },
  { title: 'Progress', cell: (batch) => html`<${Progress} batch=${batch} />` },
  numberColumn('Users', 'created_count'),
]

const COLUMNS = [
  ...BATCH_COLUMNS,
  numberColumn('Of', 'total_requested'),
  numberColumn('Failed', 'failed_count'),
  numberColumn('Left', 'user_count'),
  timeColumn('Created', 'created_at'),
]

/** @param {{ batch: BatchItem }} props */
const Progress = ({ batch: { progress, label, id } }) => html`<span class="progress">
  <progress value=${progress} max="1" aria-label=${`Progress of ${label || id}`}></progress>
  <span class="number">${percent(progress)}</span>
</span>`

/** @param {{ stats: PoolStats | undefined }} props All batches of the pool, newest first. */
export function Batches({ stats }) {
  const { status } = useStore(route).params
  const pages = usePages('v1/batches', {
    query: { status },
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
    <${Tabs} label="Status" param="status" options=${[
      { value: '', text: 'All', count: total },
      ...STATUSES.map((each) => ({ value: each, text: words(each), count: counts?.[/** @type {'queued'} */ (each)] })),
    ]} />
    <${PagedTable} caption="Batches" columns=${COLUMNS} pages=${pages} empty=${empty} />
  </div>`
}

/** @param {{ id: string }} props One batch, followed by server-sent events until it ends. */
export function Batch({ id }) {
  const { data, error, refresh } = useCall(`v1/batches/${encodeURIComponent(id)}`)
  const [followed, setFollowed] = useState(/** @type {BatchItem | undefined} */ (undefined))
  const isRunning = data?.finished_at === null
  useEffect(() => {
    if (!isRunning) return
    const ended = new AbortController()
    void followBatch(id, { signal: ended.signal, onBatch: setFollowed }).then(refresh)
    return () => ended.abort()
  }, [id, isRunning])
  /** @type {BatchItem | undefined} */
  const batch = isRunning ? (followed ?? data) : data
  if (!batch) return html`<${Waiting} error=${error} />`
  return html`<div class="stack">
    <${Path} view="batches" title="Batches" name=${batch.id} />
    <section class="panel">
      <div class="heading">
        <h2>${batch.label || 'Without a label'}</h2>
        <${Badge} status=${batch.status} />
      </div>
      <progress class="large" value=${batch.progress} max="1" aria-label="Progress"></progress>
      <p class="figures">
        <strong>${number(batch.created_count)}</strong> of ${counted(batch.total_requested, 'user')}, ${percent(batch.progress)}
        ${batch.eta_seconds !== null && batch.finished_at === null && html`, about ${duration(batch.eta_seconds)} left`}
      </p>
      ${batch.last_error && html`<p class="notice danger"><code>${batch.last_error.code}</code> ${batch.last_error.detail}</p>`}
      ${batch.removed_at && html`<p class="notice">Its users were removed at <${Time} at=${batch.removed_at} />. The batch stays as a record.</p>`}
      <${Rate} batch=${batch} />
      <${Facts} facts=${factsOf(batch)} />
      <${Actions} batch=${batch} refresh=${refresh} />
    </section>
    ${
      batch.created_count > 0 &&
      !batch.removed_at &&
      html`<section class="panel">
      <h2>Use the users</h2>
      <${Download} batch=${batch} />
      <${SharedPassword} batch=${batch} />
    </section>`
    }
    ${batch.failed_count > 0 && !batch.removed_at && html`<${Failures} id=${batch.id} />`}
    <details class="panel"><summary>Settings</summary><${Json} label="Settings" value=${batch.config} /></details>
  </div>`
}

/** @param {{ batch: BatchItem }} props The users per second while this view is open. */
function Rate({ batch: { created_count: count } }) {
  const samples = useRef(/** @type {Sample[]} */ ([]))
  const last = useRef({ at: performance.now(), count })
  const [at, before] = [performance.now(), last.current]
  if (count !== before.count && at > before.at + RATE_EVERY_MS) {
    addSample(samples.current, [Math.round(((count - before.count) * 1000) / (at - before.at))])
    last.current = { at, count }
  }
  return (
    samples.current.length > 1 && html`<${Chart} title="Users" names=${['per second']} samples=${samples.current} />`
  )
}

const RATE_EVERY_MS = 1_000

/** @param {BatchItem} batch */
function factsOf(batch) {
  const { profile, hashed_count: hashed, config } = batch
  const distinct = 'password_hash' in config ? config.password_hash.distinct : undefined
  return /** @type {const} */ ([
    ['Users per second', batch.throughput_per_second === null ? '–' : number(batch.throughput_per_second)],
    ['Failed', number(batch.failed_count)],
    ['Left', number(batch.user_count)],
    hashed !== undefined && distinct !== undefined && ['Password hashes', `${number(hashed)} of ${number(distinct)}`],
    ['Created', html`<${Time} at=${batch.created_at} />`],
    ['Finished', html`<${Time} at=${batch.finished_at} />`],
    ['Expires', html`<${Time} at=${batch.expires_at} />`],
    ['Took', profile.duration_ms === null ? '–' : duration(profile.duration_ms / 1000)],
    ['Largest memory', profile.peak_memory_bytes === null ? '–' : bytes(profile.peak_memory_bytes)],
    ['State', html`<code class="wrap">${batch.state}</code>`],
  ])
}

/** @param {{ batch: BatchItem, refresh: () => void }} props */
function Actions({ batch, refresh }) {
  const run = (/** @type {string} */ method, path = '') => call(method, `v1/batches/${batch.id}${path}`).then(refresh)
  const look = async () => {
    const query = { batch_id: batch.id }
    const { total_count: count } = await call('GET', 'v1/states/current', { query })
    const leased = can('users:lease') && (await call('GET', 'v1/leases/stats', { query })).leased
    return {
      title: `Delete ${counted(count, 'user')}?`,
      count,
      children: html`<p>This removes all test users of the batch, their passwords and the list of failures. It cannot be undone.</p>
        ${leased !== 0 && html`<p>${leased && `Leased now: ${number(leased)}. `}The holders of leases lose them.</p>`}`,
    }
  }
  return html`<${Allowed} scope="users:write" what="Cancelling or deleting"><div class="actions">
    ${
      batch.finished_at === null &&
      html`<${Ask} text="Cancel…" isMild title="Cancel this batch?" action="Cancel the batch" run=${() => run('POST', '/cancel')}>
      <p>No further users are created. Those that exist stay.</p>
    <//>`
    }
    ${
      !batch.removed_at &&
      html`<${Ask} text="Delete its users…" look=${look} action="Delete" run=${() => run('DELETE')} />`
    }
  </div><//>`
}

/** @param {{ id: string }} props */
function Failures({ id }) {
  const pages = usePages(`v1/batches/${id}/failures`, { id: 'n' })
  return html`<section class="panel">
    <h2>Users that could not be created</h2>
    <${PagedTable} caption="Failures" columns=${FAILURE_COLUMNS} pages=${pages} empty=${html`<p class="muted">None.</p>`} />
  </section>`
}

/** @type {Column<BatchFailure>[]} */
const FAILURE_COLUMNS = [
  numberColumn('Number', 'n'),
  column('Username', 'username', { isWide: true }),
  column('E-mail', 'email'),
  { title: 'Why', cell: ({ code }) => html`<code>${code}</code>` },
]
