import { Badge, column, counted, html, link, number, numberColumn, Table } from '../kit.js'

/** @param {{ result: DryRun }} props What a run would do. */
export const DryRunResult = ({ result: { added_count, updated_count, deleted_count, users } }) => {
  const members = [...new Set(users.flatMap((user) => Object.keys(user)))]
  const columns = members.map((title) => ({ title, cell: (/** @type {any} */ user) => text(user[title]) }))
  return html`<section class="stack" role="region" aria-label="Result">
    <p>A run would add ${counted(added_count, 'user')}, update ${number(updated_count)} and delete ${number(deleted_count)}.${users.length > 0 && ' The first ones, as they would be sent:'}</p>
    ${users.length > 0 && html`<${Table} caption="Users as they would be sent" columns=${columns} items=${users} />`}
  </section>`
}

const text = (/** @type {unknown} */ value) =>
  typeof value === 'object' ? html`<code class="clip">${JSON.stringify(value)}</code>` : String(value ?? '')

/** @param {{ result: Verification }} props Both sides, compared user by user. */
export const Verified = ({
  result: { in_step, local, remote, missing, extra, changed },
}) => html`<section class="stack" role="region" aria-label="Result">
  <p><${Badge} status=${in_step ? 'in_step' : 'not_in_step'} /> Compared user by user: ${number(local.total_count)} here, ${number(remote.total_count)} there.</p>
  ${local.state !== local.recomputed_state && html`<p class="notice danger">The state here is not that of its users.</p>`}
  ${remote.state !== remote.recomputed_state && html`<p class="notice danger">The state there is not that of its users.</p>`}
  <${Table} caption="Differences" columns=${DIFFERENCE_COLUMNS} items=${[
    { name: 'Only here', ...missing },
    { name: 'Only there', ...extra },
    { name: 'Different', ...changed },
  ]} id="name" />
</section>`

/** @type {Column<Verification['missing'] & { name: string }>[]} */
const DIFFERENCE_COLUMNS = [
  column('Users', 'name'),
  numberColumn('Count', 'count'),
  {
    title: 'Ids',
    isWide: true,
    cell: ({ count, ids }) =>
      html`${ids.map((id) => html`<a class="number" href=${link(['users', id])}>${id}</a> `)}${count > ids.length && `and ${number(count - ids.length)} more`}`,
  },
]
