import {
  Ask,
  addSample,
  Badge,
  bytes,
  Chart,
  call,
  can,
  counted,
  currentPool,
  duration,
  ErrorNotice,
  Field,
  Form,
  faultsOf,
  go,
  html,
  link,
  number,
  send,
  Table,
  Tile,
  timeColumn,
  useAction,
  useCall,
  useForm,
  useLive,
  useRef,
  Waiting,
  words,
} from '../kit.js'
import { BATCH_COLUMNS } from './batches.js'
import { TARGET_COLUMNS, useTargets } from './targets.js'

/** Three minutes are in a chart. */
const PROCESS_EVERY_MS = 5_000

/** @param {{ stats: PoolStats | undefined, statsError: Error | undefined }} props What the pool has and does, at a glance. */
export function Overview({ stats, statsError }) {
  const { data, users, exports, delay } = useProcess()
  if (isMissing(statsError)) return html`<${ErrorNotice} error=${statsError} />`
  if (stats === undefined) return html`<${Waiting} error=${statsError} />`
  return html`<div class="stack">
    ${stats.total_users === 0 && isIdle(stats) && html`<${FirstSteps} />`}
    <div class="tiles">
      <${Tile} title="Test users" value=${number(stats.test_users)} href=${link(['users'])}>
        ${number(stats.bulk_users)} from batches, ${number(stats.test_users - stats.bulk_users)} others
      <//>
      <${Tile} title="Protected users" value=${number(stats.protected_users)}>not test users: never changed here<//>
      <${Leases} />
      <${Tile} title="Service" value=${data ? html`<${Badge} status=${data.health.status} />` : '…'}>
        ${data?.memory}
        ${data?.health.reasons?.length > 0 && html`; not ready: ${data.health.reasons.join(', ')}`}
        ${data?.health.warnings?.length > 0 && html`; over its limit: ${data.health.warnings.join(', ')}`}
      <//>
    </div>
    <${InProgress} />
    <section class="panel charts" aria-label="This process">
      <${Chart} title="Users created" names=${['per second']} samples=${users} />
      <${Chart} title="Exports" names=${EXPORT_KINDS} samples=${exports} />
      <${Chart} title="Event loop delay" names=${['ms, 99th percentile']} samples=${delay} />
    </section>
    <${Targets} />
    ${can('admin') && html`<${Pools} />`}
  </div>`
}

/** Whether there is no such pool, or not any more. */
const isMissing = (/** @type {any} */ error) => error?.status === 404

const isIdle = (/** @type {PoolStats} */ { batches }) => batches.queued + batches.running === 0

const FirstSteps = () => html`<section class="panel">
  <h2>This pool has no users yet</h2>
  <p>Make a batch of test users first. Then download them, or keep a system under test in step.</p>
  <p><a class="button primary" href=${link(['make'])}>Make users</a></p>
</section>`

function Leases() {
  const isAllowed = can('users:lease')
  const { data } = useCall(isAllowed && 'v1/leases/stats', { everyMs: 2_000 })
  if (!isAllowed) return html`<${Tile} title="Leases" value="–">needs the scope users:lease<//>`
  if (!data) return html`<${Tile} title="Leases" value="…" />`
  return html`<${Tile} title="Leased users" value=${number(data.leased)}>
    ${number(data.free)} free, ${number(data.dirty)} dirty, ${number(data.consumed)} consumed
  <//>`
}

function useProcess() {
  const seen = useRef(/** @type {any} */ ({ users: [], exports: [], delay: [] }))
  const { data } = useLive(
    async (signal) => {
      const [health, metrics] = await Promise.all([
        call('GET', 'healthz', { pool: null, signal }).catch(
          ({ message, answer }) => answer ?? { status: 'not_ready', reasons: [message] },
        ),
        send('GET', 'metrics', { pool: null, signal }).then((response) => response.text()),
      ])
      const metric = (/** @type {string} */ start) =>
        metrics
          .split('\n')
          .reduce((sum, line) => sum + (line.startsWith(start) ? Number(line.split(' ').at(-1)) : 0), 0)
      const now = {
        at: performance.now(),
        users: metric('usersync_users_created_total '),
        exports: EXPORT_KINDS.map((kind) => metric(`usersync_exports_total{kind="${kind}"`)),
      }
      const { users, exports, delay, before } = seen.current
      seen.current.before = now
      if (before) {
        // After a restart the counters are lower.
        addSample(users, [Math.max(0, Math.round(((now.users - before.users) * 1000) / (now.at - before.at)))])
        addSample(
          exports,
          now.exports.map((count, place) => Math.max(0, count - before.exports[place])),
        )
        addSample(delay, [Math.round(metric('nodejs_eventloop_lag_p99_seconds ') * 1000)])
      }
      return {
        health,
        memory: `${bytes(metric('process_resident_memory_bytes '))} of ${bytes(metric('usersync_memory_limit_bytes '))} memory`,
      }
    },
    [],
    PROCESS_EVERY_MS,
  )
  return { data: /** @type {any} */ (data), ...seen.current }
}

const EXPORT_KINDS = ['unchanged', 'delta', 'full']

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
    ${data && data.length > 0 && html`<${Table} caption="Batches in progress" columns=${COLUMNS} items=${data} />`}
  </section>`
}

/** @type {Column<BatchItem>[]} */
const COLUMNS = [
  ...BATCH_COLUMNS,
  { title: 'Users/s', isNumber: true, cell: ({ throughput_per_second: rate }) => (rate === null ? '–' : number(rate)) },
  { title: 'Time left', isNumber: true, cell: ({ eta_seconds: left }) => (left === null ? '–' : duration(left)) },
]

function Targets() {
  const { data, error } = useTargets()
  if (data?.items.length === 0) return null
  return html`<section class="panel">
    <h2>Targets</h2>
    <${ErrorNotice} error=${error} />
    ${data && html`<${Table} caption="Targets" id="target" columns=${TARGET_COLUMNS} items=${data.items} />`}
  </section>`
}

function Pools() {
  const { data, error, refresh } = useCall('v1/pools', { pool: null, everyMs: 10_000 })
  return html`<section class="panel">
    <h2>Pools</h2>
    <${ErrorNotice} error=${error} />
    ${data && html`<${Table} caption="Pools" id="name" columns=${[...POOL_COLUMNS, deleteColumn(refresh)]} items=${data.items} />`}
    <${NewPool} onMade=${refresh} />
  </section>`
}

/** @param {{ onMade: () => void }} props */
function NewPool({ onMade }) {
  const { form, fieldsOf } = useForm({ name: '', replica: 'none' })
  const action = useAction()
  const { field, others } = fieldsOf(faultsOf(action.error))
  const create = () => call('POST', 'v1/pools', { pool: null, body: form }).then(onMade)
  return html`<details>
    <summary>New pool</summary>
    <${Form} text="Create the pool" action=${action} work=${create} others=${others}>
      <div class="row">
        <${Field} label="Name" required ...${field('name')} />
        <${Field} label="Users come from" options=${REPLICAS} ...${field('replica')} />
      </div>
    <//>
  </details>`
}

const REPLICAS = [
  { value: 'none', text: 'batches, imports and programs here' },
  { value: 'test_users', text: 'another usersync: a replica of its test users' },
  { value: 'everything', text: 'another usersync: a replica of everything' },
]

/** @type {Column<any>[]} */
const POOL_COLUMNS = [
  { title: 'Pool', isWide: true, cell: ({ name }) => html`<a href=${link(['overview'], { pool: name })}>${name}</a>` },
  { title: 'Replica of', cell: ({ replica }) => (replica === 'none' ? '–' : words(replica)) },
  timeColumn('Created', 'created_at'),
]

/** @param {() => void} refresh @returns {Column<PoolItem>} */
const deleteColumn = (refresh) => ({
  title: 'Delete',
  cell: ({ name }) => {
    const leave = () => (name === currentPool() ? go(link([], { pool: 'default' })) : refresh())
    const run = () => call('DELETE', `v1/pools/${name}`, { pool: null }).then(leave)
    return (
      name !== 'default' &&
      html`<${Ask} text="Delete…" look=${() => whatGoes(name)} action="Delete the pool" run=${run} />`
    )
  },
})

async function whatGoes(/** @type {string} */ pool) {
  /** @type {PoolStats} */
  const { test_users: users, batches } = await call('GET', 'v1/stats', { pool })
  const batchCount = Object.values(batches).reduce((sum, count) => sum + count, 0)
  return {
    title: `Delete the pool ${pool}?`,
    count: users || undefined,
    children: html`<p>Its ${counted(users, 'test user')}, ${counted(batchCount, 'batch')}, templates, targets, leases and history are deleted. It cannot be undone.</p>
      <p>First end its batches in progress, and remove its users from the systems under test. A pool with protected users stays.</p>`,
  }
}
