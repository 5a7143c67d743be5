import { shortId } from '../format.js'
import { html, useState } from '../html.js'
import { Field } from '../parts/field.js'
import { Empty } from '../parts/notice.js'
import { usePages } from '../parts/pages.js'
import { PagedTable } from '../parts/table.js'
import { Time } from '../parts/time.js'
import { go, link, route, setParams } from '../route.js'
import { can } from '../session.js'
import { useStore } from '../store.js'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

const KINDS = [
  { value: '', text: 'Test users' },
  { value: 'bulk', text: 'Created by batches and imports' },
  { value: 'all', text: 'All, with protected users' },
]

/** The orders that an index has. */
const SORTS = [
  { value: '', text: 'Id' },
  { value: 'username', text: 'Username' },
  { value: '-username', text: 'Username, from the end' },
  { value: '-created_at', text: 'Newest first' },
  { value: 'created_at', text: 'Oldest first' },
]

const idOf = (/** @type {UserItem} */ { id }) => id

/** @type {Column<UserItem>[]} */
const COLUMNS = [
  { title: 'Username', isWide: true, cell: ({ id, username }) => html`<a href=${link(['users', id])}>${username}</a>` },
  {
    title: 'E-mail',
    cell: ({ email, username }) => (email === username ? html`<span class="muted">the same</span>` : email),
  },
  { title: 'Role', cell: ({ role }) => role },
  {
    title: 'Batch',
    cell: ({ batch_id: batch }) =>
      batch ? html`<a href=${link(['batches', batch])} title=${batch}>${shortId(batch)}</a>` : '–',
  },
  { title: 'Changed', cell: ({ updated_at }) => html`<${Time} at=${updated_at} />` },
]

/** @param {{ pool: string }} props The users of the pool, page by page. */
export function Users({ pool }) {
  const { params } = useStore(route)
  const { username, kind, sort, batch_id } = params
  const query = {
    ...(username && { username }),
    ...(batch_id && { batch_id }),
    ...(kind === 'bulk' && { bulk_users_only: 'true' }),
    ...(kind === 'all' && { test_users_only: 'false' }),
    ...(sort && { sort }),
  }
  const pages = usePages('v1/users', { query, idOf, everyMs: 5_000 })
  const change = (/** @type {string} */ name) => (/** @type {string} */ value) =>
    setParams({ [name]: value, cursor: '' })
  const isFiltered = Object.keys(query).some((name) => name !== 'sort')
  return html`<div class="stack">
    <section class="panel">
      <div class="row">
        <${Search} found=${username ?? ''} />
        <${Field} label="Show" options=${can('admin', pool) ? KINDS : KINDS.slice(0, 2)} value=${kind ?? ''} onInput=${change('kind')} />
        <${Field} label="Order" options=${SORTS} value=${sort ?? ''} onInput=${change('sort')} />
      </div>
      ${batch_id && html`<p>Only users of the batch <a href=${link(['batches', batch_id])}>${shortId(batch_id)}</a>. <a href=${link(['users'])}>Show all users.</a></p>`}
    </section>
    <${PagedTable} caption="Users" columns=${COLUMNS} pages=${pages} idOf=${idOf} empty=${isFiltered ? html`<${Empty} title="No such user"><p>No user of this pool has exactly this name and kind.</p><//>` : html`<${Empty} title="No users yet"><p><a class="button primary" href=${link(['make'])}>Make users</a></p><//>`} />
  </div>`
}

/** @param {{ found: string }} props Finds one user by its exact name or id. */
function Search({ found }) {
  const [text, setText] = useState(found)
  const search = (/** @type {Event} */ event) => {
    event.preventDefault()
    const wanted = text.trim()
    if (UUID.test(wanted)) go(link(['users', wanted]))
    else setParams({ username: wanted, cursor: '' })
  }
  return html`<form onSubmit=${search} role="search">
    <${Field} label="Exact username, or id" type="search" value=${text} onInput=${setText} hint="Press Enter." />
  </form>`
}
