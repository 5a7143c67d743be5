import { number } from '../format.js'
import { html } from '../html.js'
import { Time } from './facts.js'
import { ErrorNotice, Waiting } from './notice.js'

/** The column of a member that is a text. @type {ColumnOf} */
export const column = (title, member, more) => ({ title, cell: (item) => item[member] ?? '–', ...more })

/** The column of a member that is a number. @type {ColumnOf} */
export const numberColumn = (title, member) => ({
  title,
  isNumber: true,
  cell: (item) => number(/** @type {any} */ (item[member])),
})

/** The column of a member that is a time. @type {ColumnOf} */
export const timeColumn = (title, member) => ({ title, cell: (item) => html`<${Time} at=${item[member]} />` })

/**
 * A table that becomes a list of cards on a phone: each cell carries its title.
 *
 * @template Item
 * @param {TableProps<Item>} props
 */
export function Table({ caption, columns, items, id = 'id' }) {
  return html`<div class="scroll"><table>
    <caption class="unseen">${caption}</caption>
    <thead>
      <tr>${columns.map(({ title, isNumber }) => html`<th scope="col" class=${isNumber ? 'number' : ''}>${title}</th>`)}</tr>
    </thead>
    <tbody>
      ${items.map(
        (item) => html`<tr key=${/** @type {any} */ (item)[id]}>
          ${columns.map(
            ({ title, cell, isNumber, isWide }) =>
              html`<td data-title=${title} class=${`${isNumber ? 'number' : ''} ${isWide ? 'wide' : ''}`}>${cell(item)}</td>`,
          )}
        </tr>`,
      )}
    </tbody>
  </table></div>`
}

/**
 * A listing with its pages, errors, new rows and the empty state.
 *
 * @template Item
 * @param {PagedTableProps<Item>} props
 */
export function PagedTable({ caption, columns, pages, empty }) {
  const { items, id, error, newCount, hasMoreNew, showNew, next, previous, first } = pages
  if (items === undefined) return html`<${Waiting} error=${error} />`
  return html`<div>
    <${ErrorNotice} error=${error} />
    <div role="status">
      ${
        newCount > 0 &&
        html`<button type="button" class="new-rows" onClick=${showNew}>${newCount}${hasMoreNew ? ' or more' : ''} new</button>`
      }
    </div>
    ${items.length === 0 ? empty : html`<${Table} caption=${caption} columns=${columns} items=${items} id=${id} />`}
    ${
      (next || first) &&
      html`<nav class="actions pages" aria-label="Pages">
      <button type="button" disabled=${!first} onClick=${first}>First</button>
      <button type="button" disabled=${!previous} onClick=${previous}>Previous</button>
      <button type="button" disabled=${!next} onClick=${next}>Next</button>
    </nav>`
    }
  </div>`
}
