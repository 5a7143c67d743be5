import { ApiError, call } from '../api.js'
import { html, useEffect, useState } from '../html.js'
import { useLive } from '../live.js'
import { Confirm } from '../parts/confirm.js'
import { Field } from '../parts/field.js'
import { ErrorNotice, Loading } from '../parts/notice.js'
import { go, link } from '../route.js'
import { can } from '../session.js'

/** @param {{ pool: string, id: string }} props One template, to edit if it is the pool's own. A name that does not exist is a new template. */
export function Template({ pool, id: name }) {
  const path = `v1/templates/${encodeURIComponent(name)}`
  const { data, error } = useLive(
    (signal) =>
      call('GET', path, { signal }).catch((error) => {
        if (error.code === 'template_not_found') return { description: '', config: {}, built_in: false, isNew: true }
        throw error
      }),
    [path, pool],
  )
  const [draft, setDraft] = useState(/** @type {{ description: string, text: string } | undefined} */ (undefined))
  const [state, setState] = useState(/** @type {{ error?: Error, saved?: string, faults?: FieldFault[] }} */ ({}))
  const [isDeleting, setDeleting] = useState(false)
  useEffect(
    () => data && setDraft({ description: data.description, text: JSON.stringify(data.config, null, 2) }),
    [data],
  )
  if (!data || !draft) return error ? html`<${ErrorNotice} error=${error} />` : html`<${Loading} />`

  const isReadOnly = data.built_in || !can('users:write', pool)
  const act = (/** @type {(config: object) => Promise<string>} */ work) => async () => {
    try {
      setState({ saved: await work(JSON.parse(draft.text)) })
    } catch (error) {
      if (error instanceof SyntaxError)
        setState({ faults: [{ path: '', code: 'json', message: `is not JSON: ${error.message}` }] })
      else if (error instanceof ApiError && error.fieldFaults.length > 0) setState({ faults: error.fieldFaults })
      else setState({ error: /** @type {Error} */ (error) })
    }
  }
  const validate = act(async (config) => {
    const { is_valid, errors, warnings } = await call('POST', 'v1/templates/validate', { body: { config } })
    if (!is_valid) throw new ApiError({ status: 422, title: 'Not valid', detail: '', errors })
    return ['Valid.', ...warnings.map((/** @type {FieldFault} */ { path, message }) => `${path} ${message}.`)].join(' ')
  })
  const save = act(async (config) => {
    await call('PUT', path, { body: { description: draft.description, config } })
    return 'Saved.'
  })
  return html`<div class="stack">
    <nav aria-label="Path" class="path"><a href=${link(['templates'])}>Templates</a> / ${name}</nav>
    <section class="panel">
      <h2>${name} ${data.built_in && html`<span class="muted">built in: it does not change</span>`}${data.isNew && html`<span class="muted">new</span>`}</h2>
      <${Field} label="Description" maxlength="200" readonly=${isReadOnly} value=${draft.description} onInput=${(/** @type {string} */ description) => setDraft({ ...draft, description })} />
      <${Field} label="Settings, as in config of a batch" rows=${18} class="code" readonly=${isReadOnly} value=${draft.text} faults=${(state.faults ?? []).map((fault) => ({ ...fault, message: `${fault.path.replace(/^body\.config\.?/, '')} ${fault.message}` }))} onInput=${(/** @type {string} */ text) => setDraft({ ...draft, text })} />
      <${ErrorNotice} error=${state.error} />
      <div role="status">${state.saved && html`<p class="notice">${state.saved}</p>`}</div>
      <div class="actions">
        ${!isReadOnly && html`<button type="button" class="primary" onClick=${save}>Save</button>`}
        <button type="button" onClick=${validate}>Validate</button>
        ${!data.isNew && html`<a class="button" href=${link(['make'], { template: name })}>Make users</a>`}
        ${!isReadOnly && !data.isNew && html`<button type="button" class="danger" onClick=${() => setDeleting(true)}>Delete…</button>`}
      </div>
    </section>
    ${
      isDeleting &&
      html`<${Confirm} title=${`Delete the template ${name}?`} action="Delete" close=${() => setDeleting(false)} run=${() => call('DELETE', path).then(() => go(link(['templates'])))}>
      <p>Batches that were made from it do not change.</p>
    <//>`
    }
  </div>`
}
