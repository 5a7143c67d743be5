import {
  Allowed,
  ApiError,
  Ask,
  call,
  can,
  column,
  currentPool,
  ErrorNotice,
  FaultList,
  Faults,
  Field,
  faultsOf,
  go,
  html,
  json,
  link,
  Path,
  saveBlob,
  submitting,
  Table,
  timeColumn,
  useAction,
  useCall,
  useForm,
  useLive,
  useRef,
  useState,
  Waiting,
} from '../kit.js'

/** Named settings of batches: built-in and own. */
export function Templates() {
  const { data, error, refresh } = useCall('v1/templates', { query: { limit: 1000 }, everyMs: 10_000 })
  if (!data) return html`<${Waiting} error=${error} />`
  return html`<div class="stack">
    <${Allowed} scope="users:write" what="Changing templates"><${Create} /><//>
    <${Table} caption="Templates" columns=${COLUMNS} items=${data.items} id="name" />
    <${Exchange} refresh=${refresh} />
  </div>`
}

/** @type {Column<TemplateItem>[]} */
const COLUMNS = [
  { title: 'Template', cell: ({ name }) => html`<a href=${link(['templates', name])}>${name}</a>` },
  column('Description', 'description', { isWide: true }),
  { title: 'Kind', cell: ({ built_in }) => (built_in ? 'built in' : 'own') },
  timeColumn('Changed', 'updated_at'),
  { title: 'Use', cell: ({ name }) => html`<a href=${link(['make'], { template: name })}>Make users</a>` },
]

function Create() {
  const [name, setName] = useState('')
  const open = submitting(() => name.trim() !== '' && go(link(['templates', name.trim()])))
  return html`<form class="row bottom" onSubmit=${open}>
    <${Field} label="Name of a new template" value=${name} onInput=${setName} />
    <button type="submit">Create…</button>
  </form>`
}

/** @param {{ refresh: () => void }} props Moves the pool's own templates to and from files. */
function Exchange({ refresh }) {
  const { error, run } = useAction()
  const [report, setReport] = useState(/** @type {any} */ (undefined))
  const save = async () => {
    const all = JSON.stringify(await call('GET', 'v1/templates/export'), null, 2)
    saveBlob(new Blob([all], { type: 'application/json' }), `templates-${currentPool()}.json`)
  }
  const load = async (/** @type {any} */ event) => {
    const [file] = event.target.files
    event.target.value = ''
    if (!file) return
    setReport(undefined)
    const { templates } = JSON.parse(await file.text())
    setReport(await call('POST', 'v1/templates/import', { body: { templates } }))
    refresh()
  }
  return html`<section class="panel">
    <h2>Move templates</h2>
    <div class="actions">
      <button type="button" onClick=${() => run(save)}>Export own templates</button>
      ${can('users:write') && html`<label class="button">Import a file<input class="unseen" type="file" accept="application/json,.json" onChange=${(/** @type {Event} */ event) => run(() => load(event))} /></label>`}
    </div>
    <${ErrorNotice} error=${error} />
    ${
      report &&
      html`<div class="notice" role="status">
      <p>Imported: ${report.imported.join(', ') || 'none'}. Skipped, because the name is taken: ${report.skipped.join(', ') || 'none'}.</p>
      <${FaultList} faults=${report.errors} />
    </div>`
    }
  </section>`
}

/** @param {{ id: string }} props One template, to edit if it is the pool's own. A name that does not exist is a new template. */
export function Template({ id: name }) {
  const path = `v1/templates/${encodeURIComponent(name)}`
  const { data, error } = useLive((signal) => read(path, signal), [path])
  return data
    ? html`<${Edit} key=${path} template=${data} path=${path} name=${name} />`
    : html`<${Waiting} error=${error} />`
}

/** @param {string} path @param {AbortSignal} [signal] */
const read = (path, signal) =>
  call('GET', path, { signal }).catch((error) => {
    if (error.code === 'template_not_found') return { description: '', config: {}, built_in: false, isNew: true }
    throw error
  })

/** @param {{ template: TemplateItem & { isNew?: true }, path: string, name: string }} props */
function Edit({ template: { description, config, built_in: isBuiltIn, updated_at, isNew }, path, name }) {
  const { form, fieldsOf } = useForm({ description, text: JSON.stringify(config, null, 2) })
  const { error, run } = useAction()
  const [saved, setSaved] = useState('')
  /** The version that the operator has seen. The API takes the last one. */
  const seen = useRef(updated_at)
  const { field, others } = fieldsOf(faultsOf(error))
  const isReadOnly = isBuiltIn || !can('users:write')
  const act = (/** @type {(config: object) => Promise<string>} */ work) => () => {
    setSaved('')
    void run(async () => {
      /** @type {FieldFault[]} */
      const errors = []
      const config = json(form.text, 'config', errors)
      if (errors.length > 0) throw notValid(errors)
      setSaved(await work(config))
    })
  }
  const validate = act(async (config) => {
    const { is_valid, errors, warnings } = await call('POST', 'v1/templates/validate', { body: { config } })
    if (!is_valid) throw notValid(errors)
    return ['Valid.', ...warnings.map((/** @type {FieldFault} */ { path, message }) => `${path} ${message}.`)].join(' ')
  })
  const save = act(async (config) => {
    const present = await read(path)
    if (present.updated_at !== seen.current) {
      seen.current = present.updated_at
      throw new ApiError({ status: 412, title: 'Not saved: somebody else changed it', detail: OTHER_VERSION })
    }
    seen.current = (await call('PUT', path, { body: { description: form.description, config } })).updated_at
    return 'Saved.'
  })
  return html`<div class="stack">
    <${Path} view="templates" title="Templates" name=${name} />
    <section class="panel">
      <h2>${name} ${isBuiltIn && html`<span class="muted">built in: it does not change</span>`}${isNew && html`<span class="muted">new</span>`}</h2>
      <${Field} label="Description" maxlength="200" readonly=${isReadOnly} ...${field('description')} />
      <${Field} label="Settings, as in config of a batch" rows=${18} class="code" readonly=${isReadOnly} ...${field('text', 'config')} />
      <${Faults} error=${error} faults=${others()} />
      <div role="status">${saved && html`<p class="notice">${saved}</p>`}</div>
      <div class="actions">
        ${!isReadOnly && html`<button type="button" class="primary" onClick=${save}>Save</button>`}
        <button type="button" onClick=${validate}>Validate</button>
        ${!isNew && html`<a class="button" href=${link(['make'], { template: name })}>Make users</a>`}
        ${!isReadOnly && !isNew && html`<${Ask} text="Delete…" title=${`Delete the template ${name}?`} action="Delete" run=${() => call('DELETE', path).then(() => go(link(['templates'])))}><p>Batches that were made from it do not change.</p><//>`}
      </div>
    </section>
  </div>`
}

const OTHER_VERSION = 'Open it again to see the other version, or save again to replace it.'

const notValid = (/** @type {FieldFault[]} */ errors) =>
  new ApiError({ status: 422, title: 'Not valid', detail: '', errors })
