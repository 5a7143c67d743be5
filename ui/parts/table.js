import { html } from '../html.js'
import { ErrorNotice, Loading } from './notice.js'

/**
 * A table that becomes a list of cards on a phone: each cell carries its title.
 *
 * @template Item
 * @param {TableProps<Item>} props
 */
export function Table({ caption, columns, items, idOf }) {
  return html`<div class="scroll"><table>
    <caption class="unseen">${caption}</caption>
    <thead>
      <tr>${columns.map(({ title, isNumber }) => html`<th scope="col" class=${isNumber ? 'number' : ''}>${title}</th>`)}</tr>
    </thead>
    <tbody>
      ${items.map(
        (item) => html`<tr key=${idOf(item)}>
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
export function PagedTable({ caption, columns, pages, idOf, empty }) {
  const { items, error, newCount, hasMoreNew, showNew, next, previous, first } = pages
  if (items === undefined) return error ? html`<${ErrorNotice} error=${error} />` : html`<${Loading} />`
  return html`<div>
    <${ErrorNotice} error=${error} />
    <div role="status">
      ${
        newCount > 0 &&
        html`<button type="button" class="new-rows" onClick=${showNew}>${newCount}${hasMoreNew ? ' or more' : ''} new</button>`
      }
    </div>
    ${items.length === 0 ? empty : html`<${Table} caption=${caption} columns=${columns} items=${items} idOf=${idOf} />`}
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
