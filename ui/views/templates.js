import { call } from '../api.js'
import { html, useState } from '../html.js'
import { useLive } from '../live.js'
import { Field } from '../parts/field.js'
import { ErrorNotice, Loading, NotAllowed } from '../parts/notice.js'
import { saveBlob } from '../parts/save.js'
import { Table } from '../parts/table.js'
import { Time } from '../parts/time.js'
import { go, link } from '../route.js'
import { can } from '../session.js'

const idOf = (/** @type {TemplateItem} */ { name }) => name

/** @param {{ pool: string }} props Named settings of batches: built-in and own. */
export function Templates({ pool }) {
  const { data, error, refresh } = useLive(
    (signal) => call('GET', 'v1/templates', { query: { limit: 1000 }, signal }),
    [pool],
    10_000,
  )
  if (!data) return error ? html`<${ErrorNotice} error=${error} />` : html`<${Loading} />`
  return html`<div class="stack">
    ${can('users:write', pool) ? html`<${Create} />` : html`<${NotAllowed} scope="users:write" what="Changing templates" />`}
    <${Table} caption="Templates" columns=${COLUMNS} items=${data.items} idOf=${idOf} />
    <${Exchange} pool=${pool} refresh=${refresh} />
  </div>`
}

/** @type {Column<TemplateItem>[]} */
const COLUMNS = [
  { title: 'Template', cell: ({ name }) => html`<a href=${link(['templates', name])}>${name}</a>` },
  { title: 'Description', isWide: true, cell: ({ description }) => description },
  { title: 'Kind', cell: ({ built_in }) => (built_in ? 'built in' : 'own') },
  { title: 'Changed', cell: ({ updated_at }) => html`<${Time} at=${updated_at} />` },
  { title: 'Use', cell: ({ name }) => html`<a href=${link(['make'], { template: name })}>Make users</a>` },
]

function Create() {
  const [name, setName] = useState('')
  const open = (/** @type {Event} */ event) => {
    event.preventDefault()
    if (name.trim() !== '') go(link(['templates', name.trim()]))
  }
  return html`<form class="row bottom" onSubmit=${open}>
    <${Field} label="Name of a new template" value=${name} onInput=${setName} />
    <button type="submit">Create…</button>
  </form>`
}

/** @param {{ pool: string, refresh: () => void }} props Moves the pool's own templates to and from files. */
function Exchange({ pool, refresh }) {
  const [state, setState] = useState(
    /** @type {{ error?: Error, report?: { imported: string[], skipped: string[], errors: { path: string, message: string }[] } }} */ ({}),
  )
  const fail = (/** @type {Error} */ error) => setState({ error })
  const save = () =>
    call('GET', 'v1/templates/export')
      .then((all) =>
        saveBlob(new Blob([JSON.stringify(all, null, 2)], { type: 'application/json' }), `templates-${pool}.json`),
      )
      .catch(fail)
  const load = async (/** @type {any} */ event) => {
    const [file] = event.target.files
    event.target.value = ''
    if (!file) return
    try {
      const { templates } = JSON.parse(await file.text())
      setState({ report: await call('POST', 'v1/templates/import', { body: { templates } }) })
      refresh()
    } catch (error) {
      fail(/** @type {Error} */ (error))
    }
  }
  return html`<section class="panel">
    <h2>Move templates</h2>
    <div class="actions">
      <button type="button" onClick=${save}>Export own templates</button>
      ${can('users:write', pool) && html`<label class="button">Import a file<input class="unseen" type="file" accept="application/json,.json" onChange=${load} /></label>`}
    </div>
    <${ErrorNotice} error=${state.error} />
    ${
      state.report &&
      html`<div class="notice" role="status">
      <p>Imported: ${state.report.imported.join(', ') || 'none'}. Skipped, because the name is taken: ${state.report.skipped.join(', ') || 'none'}.</p>
      <ul>${state.report.errors.map(({ path, message }) => html`<li><code>${path}</code> ${message}</li>`)}</ul>
    </div>`
    }
  </section>`
}
