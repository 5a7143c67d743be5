import { Download, SharedPassword } from '../batch/use-users.js'
import { followBatch } from '../events.js'
import {
  Ask,
  addSample,
  Badge,
  bytes,
  Chart,
  call,
  can,
  counted,
  duration,
  Facts,
  html,
  Json,
  NotAllowed,
  number,
  PagedTable,
  Path,
  percent,
  Time,
  useEffect,
  useLive,
  usePages,
  useRef,
  useState,
  Waiting,
} from '../kit.js'

/** @param {{ pool: string, id: string }} props One batch, followed by server-sent events until it ends. */
export function Batch({ pool, id }) {
  const { data, error, refresh } = useLive(
    (signal) => call('GET', `v1/batches/${encodeURIComponent(id)}`, { signal }),
    [id],
  )
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
      <${Actions} batch=${batch} pool=${pool} refresh=${refresh} />
    </section>
    ${
      batch.created_count > 0 &&
      !batch.removed_at &&
      html`<section class="panel">
      <h2>Use the users</h2>
      <${Download} batch=${batch} pool=${pool} />
      <${SharedPassword} batch=${batch} pool=${pool} />
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
    hashed !== undefined && distinct !== undefined && ['Password hashes', `${number(hashed)} of ${number(distinct)}`],
    ['Created', html`<${Time} at=${batch.created_at} />`],
    ['Finished', html`<${Time} at=${batch.finished_at} />`],
    ['Expires', html`<${Time} at=${batch.expires_at} />`],
    ['Took', profile.duration_ms === null ? '–' : duration(profile.duration_ms / 1000)],
    ['Largest memory', profile.peak_memory_bytes === null ? '–' : bytes(profile.peak_memory_bytes)],
    ['State', html`<code class="wrap">${batch.state}</code>`],
  ])
}

/** @param {{ batch: BatchItem, pool: string, refresh: () => void }} props */
function Actions({ batch, pool, refresh }) {
  if (!can('users:write', pool)) return html`<${NotAllowed} scope="users:write" what="Cancelling or deleting" />`
  const run = (/** @type {string} */ method, path = '') => call(method, `v1/batches/${batch.id}${path}`).then(refresh)
  const look = async () => {
    const { total_count: count } = await call('GET', 'v1/states/current', { query: { batch_id: batch.id } })
    return { title: `Delete ${counted(count, 'user')}?`, count }
  }
  return html`<div class="actions">
    ${
      batch.finished_at === null &&
      html`<${Ask} text="Cancel…" isMild title="Cancel this batch?" action="Cancel the batch" run=${() => run('POST', '/cancel')}>
      <p>No further users are created. Those that exist stay.</p>
    <//>`
    }
    ${
      !batch.removed_at &&
      html`<${Ask} text="Delete its users…" look=${look} action="Delete" run=${() => run('DELETE')}>
      <p>This removes all test users of the batch, their passwords and the list of failures. It cannot be undone.</p>
    <//>`
    }
  </div>`
}

/** @param {{ id: string }} props */
function Failures({ id }) {
  const idOf = (/** @type {{ n: number }} */ { n }) => String(n)
  const pages = usePages(`v1/batches/${id}/failures`, { idOf })
  return html`<section class="panel">
    <h2>Users that could not be created</h2>
    <${PagedTable} caption="Failures" columns=${FAILURE_COLUMNS} pages=${pages} idOf=${idOf} empty=${html`<p class="muted">None.</p>`} />
  </section>`
}

/** @type {Column<BatchFailure>[]} */
const FAILURE_COLUMNS = [
  { title: 'Number', isNumber: true, cell: ({ n }) => number(n) },
  { title: 'Username', isWide: true, cell: ({ username }) => username },
  { title: 'E-mail', cell: ({ email }) => email },
  { title: 'Why', cell: ({ code }) => html`<code>${code}</code>` },
]
