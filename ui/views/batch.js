import { call } from '../api.js'
import { Download } from '../batch/download.js'
import { SharedPassword } from '../batch/shared-password.js'
import { followBatch } from '../events.js'
import { bytes, counted, duration, number, percent } from '../format.js'
import { html, useEffect, useRef, useState } from '../html.js'
import { useLive } from '../live.js'
import { Badge } from '../parts/badge.js'
import { Confirm } from '../parts/confirm.js'
import { ErrorNotice, Loading, NotAllowed } from '../parts/notice.js'
import { usePages } from '../parts/pages.js'
import { Sparkline } from '../parts/sparkline.js'
import { PagedTable } from '../parts/table.js'
import { Time } from '../parts/time.js'
import { link } from '../route.js'
import { can } from '../session.js'

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
  if (!batch) return error ? html`<${ErrorNotice} error=${error} />` : html`<${Loading} />`
  return html`<div class="stack">
    <nav aria-label="Path" class="path"><a href=${link(['batches'])}>Batches</a> / <span class="number">${batch.id}</span></nav>
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
      <${Facts} batch=${batch} />
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
    <details class="panel"><summary>Settings</summary><pre tabindex="0" role="region" aria-label="Settings"><code>${JSON.stringify(batch.config, null, 2)}</code></pre></details>
  </div>`
}

/** @param {{ batch: BatchItem }} props The users per second since this view is open. */
function Rate({ batch }) {
  const samples = useRef(/** @type {{ at: number, count: number }[]} */ ([]))
  const last = samples.current.at(-1)
  if (last === undefined || last.count !== batch.created_count) {
    samples.current.push({ at: performance.now(), count: batch.created_count })
    if (samples.current.length > 200) samples.current.shift()
  }
  const rates = samples.current.slice(1).map(({ at, count }, index) => {
    const before = samples.current[index]
    return before ? Math.round(((count - before.count) * 1000) / Math.max(1, at - before.at)) : 0
  })
  if (rates.length < 2) return null
  return html`<${Sparkline} values=${rates} label="Users per second" />`
}

/** @param {{ batch: BatchItem }} props */
function Facts({ batch }) {
  const { profile, hashed_count: hashed, config } = batch
  const distinct = 'password_hash' in config ? config.password_hash.distinct : undefined
  /** @type {[string, Children][]} */
  const facts = [
    ['Users per second', batch.throughput_per_second === null ? '–' : number(batch.throughput_per_second)],
    ['Failed', number(batch.failed_count)],
    ...(hashed !== undefined && distinct !== undefined
      ? /** @type {[string, string][]} */ ([['Password hashes', `${number(hashed)} of ${number(distinct)}`]])
      : []),
    ['Created', html`<${Time} at=${batch.created_at} />`],
    ['Finished', html`<${Time} at=${batch.finished_at} />`],
    ['Expires', html`<${Time} at=${batch.expires_at} />`],
    ['Took', profile.duration_ms === null ? '–' : duration(profile.duration_ms / 1000)],
    ['Largest memory', profile.peak_memory_bytes === null ? '–' : bytes(profile.peak_memory_bytes)],
    ['State', html`<code class="wrap">${batch.state}</code>`],
  ]
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`
}

/** @param {{ batch: BatchItem, pool: string, refresh: () => void }} props */
function Actions({ batch, pool, refresh }) {
  const [asked, setAsked] = useState(
    /** @type {{ action: 'cancel' | 'delete', count: number } | undefined} */ (undefined),
  )
  const [error, setError] = useState(/** @type {Error | undefined} */ (undefined))
  if (!can('users:write', pool)) return html`<${NotAllowed} scope="users:write" what="Cancelling or deleting" />`
  const close = () => setAsked(undefined)
  const askToDelete = () =>
    call('GET', 'v1/states/current', { query: { batch_id: batch.id } })
      .then(({ total_count }) => setAsked({ action: 'delete', count: total_count }))
      .catch(setError)
  const run = async (/** @type {string} */ method, path = '') => {
    await call(method, `v1/batches/${batch.id}${path}`)
    refresh()
  }
  return html`<div>
    <${ErrorNotice} error=${error} />
    <div class="actions">
      ${batch.finished_at === null && html`<button type="button" onClick=${() => setAsked({ action: 'cancel', count: 0 })}>Cancel…</button>`}
      ${!batch.removed_at && html`<button type="button" class="danger" onClick=${askToDelete}>Delete its users…</button>`}
    </div>
    ${
      asked?.action === 'cancel' &&
      html`<${Confirm} title="Cancel this batch?" action="Cancel the batch" run=${() => run('POST', '/cancel')} close=${close}>
      <p>No further users are created. Those that exist stay.</p>
    <//>`
    }
    ${
      asked?.action === 'delete' &&
      html`<${Confirm} title=${`Delete ${counted(asked.count, 'user')}?`} action="Delete" count=${asked.count} run=${() => run('DELETE')} close=${close}>
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
