import {
  Allowed,
  Ask,
  Badge,
  BatchLink,
  call,
  can,
  column,
  Empty,
  ErrorNotice,
  Facts,
  Field,
  go,
  html,
  Json,
  link,
  PagedTable,
  Path,
  route,
  setParams,
  shortId,
  submitting,
  Time,
  timeColumn,
  useCall,
  usePages,
  useState,
  useStore,
  Waiting,
} from '../kit.js'
import { UserChange } from '../user/change.js'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

const KINDS = [
  { value: '', text: 'Test users' },
  { value: 'bulk', text: 'Created by batches and imports' },
  { value: 'all', text: 'All, with protected users' },
]

/** The orders that an index has: in a batch, only the first. */
const SORTS = [
  { value: '', text: 'Id' },
  { value: 'username', text: 'Username' },
  { value: '-username', text: 'Username, from the end' },
  { value: '-created_at', text: 'Newest first' },
  { value: 'created_at', text: 'Oldest first' },
]

/** @type {Column<UserItem>[]} */
const COLUMNS = [
  { title: 'Username', isWide: true, cell: ({ id, username }) => html`<a href=${link(['users', id])}>${username}</a>` },
  {
    title: 'E-mail',
    cell: ({ email, username }) => (email === username ? html`<span class="muted">the same</span>` : email),
  },
  column('Role', 'role'),
  {
    title: 'Batch',
    cell: ({ batch_id: batch }) => (batch ? html`<${BatchLink} id=${batch} />` : '–'),
  },
  timeColumn('Changed', 'updated_at'),
]

/** The users of the pool, page by page. */
export function Users() {
  const { params } = useStore(route)
  const { username, kind, sort, batch_id } = params
  const query = {
    ...(username && { username }),
    ...(batch_id && { batch_id }),
    ...(kind === 'bulk' && { bulk_users_only: 'true' }),
    ...(kind === 'all' && { test_users_only: 'false' }),
    ...(sort && !batch_id && { sort }),
  }
  const pages = usePages('v1/users', { query, everyMs: 5_000 })
  const change = (/** @type {string} */ name) => (/** @type {string} */ value) =>
    setParams({ [name]: value, cursor: '' })
  const isFiltered = Object.keys(query).some((name) => name !== 'sort')
  return html`<div class="stack">
    <section class="panel">
      <div class="row">
        <${Search} found=${username ?? ''} />
        <${Field} label="Show" options=${can('admin') ? KINDS : KINDS.slice(0, 2)} value=${kind ?? ''} onInput=${change('kind')} />
        ${!batch_id && html`<${Field} label="Order" options=${SORTS} value=${sort ?? ''} onInput=${change('sort')} />`}
      </div>
      ${batch_id && html`<p>Only users of the batch <${BatchLink} id=${batch_id} />. <a href=${link(['users'])}>Show all users.</a></p>`}
    </section>
    <${PagedTable} caption="Users" columns=${COLUMNS} pages=${pages} empty=${isFiltered ? html`<${Empty} title="No such user"><p>No user of this pool has exactly this name and kind.</p><//>` : html`<${Empty} title="No users yet"><p><a class="button primary" href=${link(['make'])}>Make users</a></p><//>`} />
  </div>`
}

/** @param {{ found: string }} props Finds one user by its exact name or id. */
function Search({ found }) {
  const [text, setText] = useState(found)
  const search = submitting(() => {
    const wanted = text.trim()
    if (UUID.test(wanted)) go(link(['users', wanted]))
    else setParams({ username: wanted, cursor: '' })
  })
  return html`<form onSubmit=${search} role="search">
    <${Field} label="Exact username, or id" type="search" value=${text} onInput=${setText} hint="Press Enter." />
  </form>`
}

/** @param {{ id: string }} props One user, with its attributes and who had it. */
export function User({ id }) {
  const path = `v1/users/${encodeURIComponent(id)}`
  const { data: user, error, refresh } = useCall(path, { everyMs: 5_000 })
  if (!user) return html`<${Waiting} error=${error} />`
  return html`<div class="stack">
    <${Path} view="users" title="Users" name=${user.username} />
    <${ErrorNotice} error=${error} />
    <section class="panel">
      <div class="heading">
        <h2>${user.username}</h2>
        <${Badge} status=${user.is_test_user ? 'test_user' : 'protected'} />
      </div>
      <${Facts} facts=${[
        ['Role', user.role],
        ['Created', html`<${Time} at=${user.created_at} />`],
        ['Last changed', html`<${Time} at=${user.updated_at} />`],
        [
          user.created_by_bulk ? 'By the batch' : 'By',
          user.batch_id ? html`<${BatchLink} id=${user.batch_id} />` : 'another program',
        ],
        ['E-mail', html`<span class="wrap">${user.email}</span>`],
        ['Id', html`<code class="wrap">${user.id}</code>`],
      ]} />
      ${
        user.is_test_user
          ? html`<${Allowed} scope="users:write" what="Changing or deleting a user">
          <div class="actions">
            <${Ask} text="Delete the user…" title=${`Delete ${user.username}?`} action="Delete" run=${() => call('DELETE', path).then(() => go(link(['users'])))}>
              <p>Clients and targets lose it with their next update. It cannot be undone.</p>
            <//>
          </div>
          <${UserChange} user=${user} path=${path} onSaved=${refresh} />
        <//>`
          : html`<p class="muted">A protected user is not a test user. The service never changes or deletes it.</p>`
      }
    </section>
    <section class="panel">
      <h2>Attributes</h2>
      <${Json} label="Attributes" value=${user.custom_attributes} />
    </section>
    <${Holdings} path=${path} />
  </div>`
}

/** @param {{ path: string }} props */
function Holdings({ path }) {
  const pages = usePages(`${path}/leases`, { id: 'lease_id', everyMs: 5_000 })
  return html`<section class="panel">
    <h2>Who had it</h2>
    <${PagedTable} caption="Leases of this user" columns=${HOLDING_COLUMNS} pages=${pages} empty=${html`<p class="muted">It was never leased.</p>`} />
  </section>`
}

/** @type {Column<Holding>[]} */
const HOLDING_COLUMNS = [
  { title: 'Holder', isWide: true, cell: ({ owner, lease_id }) => owner || shortId(lease_id) },
  column('Key', 'api_key'),
  timeColumn('From', 'granted_at'),
  timeColumn('To', 'ended_at'),
  { title: 'End', cell: ({ ending, outcome }) => html`<${Badge} status=${outcome ?? ending ?? 'leased'} />` },
  column('Note', 'note'),
]
