import { call, send } from '../api.js'
import { bytes, duration, number, shortId } from '../format.js'
import { html, useRef } from '../html.js'
import { useLive } from '../live.js'
import { Badge } from '../parts/badge.js'
import { ErrorNotice, Loading } from '../parts/notice.js'
import { Sparkline } from '../parts/sparkline.js'
import { Table } from '../parts/table.js'
import { Tile } from '../parts/tile.js'
import { Time } from '../parts/time.js'
import { link } from '../route.js'
import { can } from '../session.js'
import { Progress } from './batches.js'
import { TARGET_COLUMNS, useTargets } from './targets.js'

const EVERY_MS = 2_000

/** Three minutes of users per second. */
const SAMPLES = 90

/** @param {{ pool: string, stats: PoolStats | undefined, statsError: Error | undefined }} props What the pool has and does, at a glance. */
export function Overview({ pool, stats, statsError }) {
  if (isMissing(statsError)) return html`<${ErrorNotice} error=${statsError} />`
  if (stats === undefined) return html`<${Loading} />`
  return html`<div class="stack">
    ${stats.total_users === 0 && isIdle(stats) && html`<${FirstSteps} />`}
    <div class="tiles">
      <${Tile} title="Test users" value=${number(stats.test_users)} href=${link(['users'])}>
        ${number(stats.bulk_users)} from batches, ${number(stats.test_users - stats.bulk_users)} others
      <//>
      <${Tile} title="Protected users" value=${number(stats.protected_users)}>not test users: never changed here<//>
      <${Leases} pool=${pool} />
      <${Health} />
    </div>
    <${InProgress} />
    <${Targets} pool=${pool} />
    ${can('admin', pool) && html`<${Pools} />`}
  </div>`
}

/** Whether there is no such pool, or not any more. */
const isMissing = (/** @type {any} */ error) => error?.status === 404

const isIdle = (/** @type {PoolStats} */ { batches }) => batches.queued + batches.running === 0

const FirstSteps = () => html`<section class="panel welcome">
  <h2>This pool has no users yet</h2>
  <p>Make a batch of test users first. Then download them, give them to load generators, or keep a system under test in step.</p>
  <p><a class="button primary" href=${link(['make'])}>Make users</a></p>
</section>`

/** @param {{ pool: string }} props */
function Leases({ pool }) {
  const isAllowed = can('users:lease', pool)
  const { data } = useLive(
    async (signal) => (isAllowed ? await call('GET', 'v1/leases/stats', { signal }) : undefined),
    [isAllowed],
    EVERY_MS,
  )
  if (!isAllowed) return html`<${Tile} title="Leases" value="–">needs the scope users:lease<//>`
  if (!data) return html`<${Tile} title="Leases" value="…" />`
  return html`<${Tile} title="Leased users" value=${number(data.leased)}>
    ${number(data.free)} free, ${number(data.dirty)} dirty, ${number(data.consumed)} consumed
  <//>`
}

function Health() {
  const samples = useRef(/** @type {{ at: number, created: number, perSecond: number }[]} */ ([]))
  const { data } = useLive(
    async (signal) => {
      const [health, text] = await Promise.all([
        call('GET', 'healthz', { pool: null, signal }).catch((error) => ({
          status: 'not_ready',
          reasons: [error.message],
          warnings: [],
        })),
        send('GET', 'metrics', { pool: null, signal }).then((response) => response.text()),
      ])
      return {
        health,
        memory: metric(text, 'process_resident_memory_bytes'),
        limit: metric(text, 'usersync_memory_limit_bytes'),
        created: metric(text, 'usersync_users_created_total'),
      }
    },
    [],
    EVERY_MS,
  )
  if (!data) return html`<${Tile} title="Service" value="…" />`
  addSample(samples.current, data.created)
  const rates = samples.current.slice(1).map(({ perSecond }) => perSecond)
  return html`<${Tile} title="Service" value=${html`<${Badge} status=${data.health.status} />`}>
      ${bytes(data.memory)} of ${bytes(data.limit)} memory
      ${data.health.reasons?.length > 0 && html`; not ready: ${data.health.reasons.join(', ')}`}
      ${data.health.warnings?.length > 0 && html`; over its limit: ${data.health.warnings.join(', ')}`}
    <//>
    <section class="tile">
      <h2>Users per second</h2>
      <p class="value">${number(rates.at(-1) ?? 0)}</p>
      <${Sparkline} values=${rates} label="Users created per second by this process, in the last minutes" />
    </section>`
}

/** The value of a metric without labels, in Prometheus's text format. */
const metric = (/** @type {string} */ text, /** @type {string} */ name) =>
  Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? 0)

/** @param {{ at: number, created: number, perSecond: number }[]} samples @param {number} created */
function addSample(samples, created) {
  const at = performance.now()
  const last = samples.at(-1)
  if (last && at - last.at < EVERY_MS / 2) return
  const perSecond = last ? Math.max(0, Math.round(((created - last.created) * 1000) / (at - last.at))) : 0
  samples.push({ at, created, perSecond })
  if (samples.length > SAMPLES) samples.shift()
}

function InProgress() {
  const { data, error } = useLive(
    async (signal) => {
      const pages = await Promise.all(
        ['running', 'queued'].map((status) => call('GET', 'v1/batches', { query: { status, limit: 10 }, signal })),
      )
      return /** @type {BatchItem[]} */ (pages.flatMap(({ items }) => items))
    },
    [],
    1_000,
  )
  return html`<section class="panel">
    <h2>Batches in progress</h2>
    <${ErrorNotice} error=${error} />
    ${data?.length === 0 && html`<p class="muted">None. <a href=${link(['batches'])}>See all batches.</a></p>`}
    ${data && data.length > 0 && html`<${Table} caption="Batches in progress" idOf=${idOf} columns=${COLUMNS} items=${data} />`}
  </section>`
}

const idOf = (/** @type {BatchItem} */ { id }) => id

/** @type {Column<BatchItem>[]} */
const COLUMNS = [
  {
    title: 'Batch',
    isWide: true,
    cell: ({ id, label }) => html`<a href=${link(['batches', id])}>${label || shortId(id)}</a>`,
  },
  { title: 'Status', cell: ({ status }) => html`<${Badge} status=${status} />` },
  { title: 'Progress', cell: (batch) => html`<${Progress} batch=${batch} />` },
  { title: 'Users', isNumber: true, cell: ({ created_count }) => number(created_count) },
  { title: 'Users/s', isNumber: true, cell: ({ throughput_per_second: rate }) => (rate === null ? '–' : number(rate)) },
  { title: 'Time left', isNumber: true, cell: ({ eta_seconds: left }) => (left === null ? '–' : duration(left)) },
]

/** @param {{ pool: string }} props */
function Targets({ pool }) {
  const { data, error } = useTargets(pool)
  if (data?.items.length === 0) return null
  return html`<section class="panel">
    <h2>Targets</h2>
    <${ErrorNotice} error=${error} />
    ${data && html`<${Table} caption="Targets" idOf=${(/** @type {any} */ { target }) => target} columns=${TARGET_COLUMNS} items=${data.items} />`}
  </section>`
}

function Pools() {
  const { data, error } = useLive((signal) => call('GET', 'v1/pools', { pool: null, signal }), [], 10_000)
  return html`<section class="panel">
    <h2>Pools</h2>
    <${ErrorNotice} error=${error} />
    ${data && html`<${Table} caption="Pools" idOf=${(/** @type {any} */ { name }) => name} columns=${POOL_COLUMNS} items=${data.items} />`}
  </section>`
}

/** @type {Column<any>[]} */
const POOL_COLUMNS = [
  { title: 'Pool', isWide: true, cell: ({ name }) => html`<a href=${link(['overview'], { pool: name })}>${name}</a>` },
  { title: 'Replica of', cell: ({ replica }) => (replica === 'none' ? '–' : replica.replace('_', ' ')) },
  { title: 'Created', cell: ({ created_at }) => html`<${Time} at=${created_at} />` },
]
