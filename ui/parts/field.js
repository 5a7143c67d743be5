import { html, useId } from '../html.js'

/**
 * A labelled input with its hint and the faults that the service found in it.
 *
 * @param {{
 *   label: string,
 *   value: string,
 *   onInput: (value: string) => void,
 *   hint?: Children,
 *   faults?: FieldFault[],
 *   options?: { value: string, text: string }[],
 *   rows?: number,
 *   [attribute: string]: unknown,
 * }} props `options` makes it a select, `rows` a text area. Other members are attributes of the input.
 */
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
      html`<ul class="faults" id=${`${id}fault`}>${faults.map(({ message }) => html`<li>${message}</li>`)}</ul>`
    }
  </div>`
}
