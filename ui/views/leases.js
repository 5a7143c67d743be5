import {
  Ask,
  Badge,
  Copyable,
  call,
  can,
  column,
  counted,
  curlOf,
  Empty,
  ErrorNotice,
  html,
  link,
  number,
  numberColumn,
  PagedTable,
  Path,
  route,
  shortId,
  Tabs,
  Tile,
  Time,
  timeColumn,
  useCall,
  usePages,
  useState,
  useStore,
} from '../kit.js'

/** A lease that left the list of active ones: the list does not say why. */
const ended = (/** @type {LeaseItem} */ lease) =>
  /** @type {LeaseItem} */ (lease.status === 'active' ? { ...lease, status: 'ended' } : lease)

/** Who has which users, and what became of the others. */
export function Leases() {
  const isAll = useStore(route).params['all'] === 'true'
  const { data: stats, error, refresh } = useCall('v1/leases/stats', { everyMs: 2_000 })
  const pages = usePages('v1/leases', {
    query: { ...(!isAll && { active: 'true' }) },
    gone: ended,
    everyMs: 2_000,
  })
  const [reset, setReset] = useState(/** @type {LeaseReset | undefined} */ (undefined))
  const used = (stats?.dirty ?? 0) + (stats?.consumed ?? 0)
  const columns = can('admin') ? [...COLUMNS, endColumn(refresh)] : COLUMNS
  return html`<div class="stack">
    <${ErrorNotice} error=${error} />
    <div class="tiles">
      ${Object.entries(TITLES).map(([name, title]) => html`<${Tile} title=${title} value=${stats ? number(stats[name]) : '…'} />`)}
    </div>
    <div class="actions">
      <${Ask} text="Reset dirty and consumed users…" isMild disabled=${used === 0} title=${`Reset ${counted(used, 'user')}?`} action="Reset" count=${used} run=${() => call('POST', 'v1/leases/reset', { body: {} }).then(setReset).then(refresh)}>
        <p>The sinks that have these users write them again. A user is free when all its sinks have written it, at once if no sink has it.</p>
      <//>
    </div>
    <div role="status">
      ${
        (reset || stats?.resetting > 0) &&
        html`<p class="notice">
        ${reset && html`${counted(reset.freed_count, 'user')} freed. `}
        ${reset && reset.waiting_count > 0 && html`${counted(reset.waiting_count, 'user')} had to wait for ${reset.targets.join(', ')}. `}
        ${counted(stats?.resetting ?? 0, 'user')} waiting for targets now.
      </p>`
      }
    </div>
    <${Tabs} label="Leases" param="all" options=${[
      { value: '', text: 'Now' },
      { value: 'true', text: 'With those that are over' },
    ]} />
    <${PagedTable} caption="Leases" columns=${columns} pages=${pages} empty=${html`<${Empty} title="Nobody has a user">
      <p>A load generator leases users, so that no other one has them at the same time:</p>
      <${Copyable} label="Command" text=${curlOf('POST', 'v1/leases', { count: 10, owner: 'runner-1', ttl_seconds: 300 })} />
    <//>`} />
  </div>`
}

const TITLES = { free: 'Free', leased: 'Leased', dirty: 'Dirty', consumed: 'Consumed', waiting: 'Requests that wait' }

/** @type {Column<LeaseItem>[]} */
const COLUMNS = [
  {
    title: 'Holder',
    isWide: true,
    cell: ({ id, owner }) => html`<a href=${link(['leases', id])}>${owner || shortId(id)}</a>`,
  },
  column('Key', 'api_key'),
  { title: 'Status', cell: ({ status }) => html`<${Badge} status=${status} />` },
  numberColumn('Users', 'user_count'),
  timeColumn('From', 'granted_at'),
  { title: 'Until', cell: ({ ended_at, expires_at }) => html`<${Time} at=${ended_at ?? expires_at} />` },
]

/** @param {() => void} refresh @returns {Column<LeaseItem>} */
const endColumn = (refresh) => ({
  title: 'By force',
  cell: ({ id, owner, status, user_count: count }) =>
    status === 'active' &&
    html`<${Ask} text="End…" title=${`End the lease of ${owner || shortId(id)}?`} action="End the lease" count=${count} run=${() => call('DELETE', `v1/leases/${id}`).then(refresh)}>
      <p>${counted(count, 'user')} become free, although the holder may still use them.</p>
    <//>`,
})

/** A list of the 10,000 users that a lease may have takes seconds. */
const SHOWN = 200

/** @param {{ id: string }} props The first users of one lease. */
export function LeaseUsers({ id }) {
  const { data: lease, error } = useCall(`v1/leases/${encodeURIComponent(id)}`, { everyMs: 5_000 })
  return html`<div class="stack">
    <${Path} view="leases" title="Leases" name=${id} />
    <${ErrorNotice} error=${error} />
    ${
      lease &&
      html`<section class="panel">
      <div class="heading"><h2>${lease.owner || 'Without an owner'}</h2><${Badge} status=${lease.status} /></div>
      <p>${counted(lease.user_count, 'user')} from <${Time} at=${lease.granted_at} /> until <${Time} at=${lease.ended_at ?? lease.expires_at} /></p>
      <ul class="plain">${lease.users.slice(0, SHOWN).map((/** @type {any} */ user) => html`<li><a href=${link(['users', user.id])}>${user.username ?? user.id}</a> <${Badge} status=${user.status} /></li>`)}</ul>
      ${lease.user_count > SHOWN && html`<p>And ${number(lease.user_count - SHOWN)} more.</p>`}
    </section>`
    }
  </div>`
}
