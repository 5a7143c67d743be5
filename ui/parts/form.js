import { ApiError, parseJson } from '../api.js'
import { html, useId, useState } from '../html.js'
import { ErrorNotice } from './notice.js'

/** Runs what a click or a form starts. Its error stays until the next run. */
export function useAction() {
  const [state, setState] = useState(/** @type {{ isBusy: boolean, error?: any }} */ ({ isBusy: false }))
  const run = async (/** @type {() => unknown} */ work) => {
    setState({ isBusy: true })
    try {
      await work()
      setState({ isBusy: false })
    } catch (error) {
      setState({ isBusy: false, error })
    }
  }
  return { ...state, run }
}

/** The handler of a form that is not sent but does `work`. @param {() => unknown} work */
export const submitting = (work) => (/** @type {Event} */ event) => {
  event.preventDefault()
  void work()
}

/** A labelled input with its hint and the faults that the service found in it. @param {FieldProps} props */
export function Field({ label, value, onInput, hint, faults = [], options, rows, ...attributes }) {
  const id = useId()
  const described = [hint && `${id}hint`, faults.length > 0 && `${id}fault`].filter(Boolean).join(' ')
  const shared = {
    id,
    value,
    onInput: (/** @type {any} */ event) => onInput(event.target.value),
    'aria-invalid': faults.length > 0,
    ...(described && { 'aria-describedby': described }),
    ...attributes,
  }
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${
      options
        ? html`<select ...${shared}>${options.map((each) => html`<option value=${each.value} selected=${each.value === value}>${each.text}</option>`)}</select>`
        : rows
          ? html`<textarea rows=${rows} spellcheck="false" ...${shared}></textarea>`
          : html`<input autocomplete="off" spellcheck="false" ...${shared} />`
    }
    ${hint && html`<p class="hint" id=${`${id}hint`}>${hint}</p>`}
    ${
      faults.length > 0 &&
      html`<ul class="faults" id=${`${id}fault`}>${faults.map((fault) => html`<li>${fault}</li>`)}</ul>`
    }
  </div>`
}

/**
 * The texts of a form, and the faults beside their fields.
 *
 * @template {Record<string, string>} Form
 * @param {Form | (() => Form)} initial
 */
export function useForm(initial) {
  const [form, setForm] = useState(initial)
  /** The properties of the fields, by the faults of the last request. @param {FieldFault[]} faults */
  const fieldsOf = (faults) => {
    /** @type {string[]} */
    const placed = []
    return {
      /** @type {FieldOf<Form>} `path`: of the member in the body. */
      field(name, path = name) {
        placed.push(path)
        return {
          value: form[name] ?? '',
          onInput: (/** @type {string} */ value) => setForm((before) => ({ ...before, [name]: value })),
          faults: faults.flatMap((fault) => {
            const inside = placeIn(fault.path, path)
            return inside === undefined ? [] : [`${inside} ${fault.message}`]
          }),
        }
      },
      /** The faults that have no field, to show after all fields. */
      others: () => faults.filter((fault) => placed.every((path) => placeIn(fault.path, path) === undefined)),
    }
  }
  return { form, setForm, fieldsOf }
}

/** Where in a member a fault is: '' if it is the member itself, undefined if it is elsewhere. */
function placeIn(/** @type {string} */ path, /** @type {string} */ member) {
  const rest = path.startsWith(`body.${member}`) ? path.slice(member.length + 5) : undefined
  return rest === undefined || /^[.[]|^$/.test(rest) ? rest?.replace(/^\./, '') : undefined
}

/** The texts that differ. @param {Record<string, string>} form @param {Record<string, string>} before */
export const changesOf = (form, before) =>
  Object.fromEntries(Object.entries(form).filter(([name, text]) => text !== before[name]))

/** The faults that the service found in a body. */
export const faultsOf = (/** @type {unknown} */ error) => (error instanceof ApiError ? error.fieldFaults : [])

/** The value of a text of JSON. @type {ReadText} */
export function json(text, path, faults) {
  try {
    return parseJson(text)
  } catch (error) {
    faults.push({ path: `body.${path}`, code: 'json', message: `is not JSON: ${/** @type {Error} */ (error).message}` })
    return undefined
  }
}

/** @type {ReadText} */
export function whole(text, path, faults) {
  const value = Number(text.replaceAll(/[\s,_]/g, ''))
  if (Number.isSafeInteger(value) && text.trim() !== '') return value
  faults.push({ path: `body.${path}`, code: 'type', message: 'must be a whole number' })
  return undefined
}

/** @param {{ error: Error | undefined, faults: FieldFault[] }} props What has no field: other errors of the request, and `others()`. */
export const Faults = ({
  error,
  faults,
}) => html`<${ErrorNotice} error=${faultsOf(error).length > 0 ? undefined : error} />
  ${faults.map(({ path, message }) => html`<p class="notice danger" role="alert"><code>${path}</code> ${message}</p>`)}`

/** Fields with their button. What has no field stands above it. @param {FormProps} props */
export const Form = ({
  text,
  disabled,
  action: { isBusy, error, run },
  work,
  others,
  children,
}) => html`<form class="stack"
  onSubmit=${submitting(() => run(work))}>
  ${children}
  <${Faults} error=${error} faults=${others?.() ?? []} />
  <div class="actions"><button type="submit" class="primary" disabled=${isBusy || disabled}>${text}</button></div>
</form>`
