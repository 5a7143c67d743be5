import { Field, html, isObject, json } from '../kit.js'

/** Attributes to start from, each with its generator. All generators: docs/generators.md. @type {Record<string, [label: string, generator: object]>} */
const EXAMPLES = {
  first: ['First name', { $name: 'first' }],
  last: ['Last name', { $name: 'last' }],
  plan: ['Choice with weights', { $choice: { free: 7, gold: 2, vip: 1 } }],
  age: ['Whole number', { $int: [18, 90] }],
  balance: ['Decimal number', { $decimal: [0, 999.99, 2] }],
  newsletter: ['Yes or no', { $bool: 0.3 }],
  since: ['Date', { $date: ['2020-01-01', '2026-01-01'] }],
  city: ['City', { $place: 'city' }],
  phone: ['Phone number', { $phone: true }],
  customer_no: ['Running number', { $seq: { start: 1000, step: 1 } }],
  code: ['Code by a pattern', { $unique: { $pattern: '[A-Z]{2}[0-9]{6}' } }],
  interests: ['List', { $list: { $choice: ['sport', 'music', 'food'] }, length: [0, 3] }],
}

/**
 * The custom attributes as JSON, with examples of generators to add.
 *
 * @param {{ value: string, onInput: (value: string) => void, faults: string[], ofTemplate: object }} props
 * `ofTemplate`: the attributes that apply while the field is empty.
 */
export function Attributes({ value, onInput, faults, ofTemplate }) {
  const attributes = value.trim() === '' ? ofTemplate : json(value, '', [])
  const isExtensible = isObject(attributes)
  const add = (/** @type {any} */ event) => {
    const name = event.target.value
    event.target.value = ''
    onInput(JSON.stringify({ ...attributes, [freeName(attributes, name)]: EXAMPLES[name]?.[1] }, null, 2))
  }
  return html`<div>
    <${Field}
      label="Custom attributes"
      value=${value}
      onInput=${onInput}
      faults=${faults}
      rows=${8}
      class="code"
      placeholder=${JSON.stringify(ofTemplate, null, 2)}
      hint="JSON. A value that is an object with a name like $choice differs from user to user."
    />
    <select class="add" aria-label="Add an attribute" disabled=${!isExtensible} onChange=${add}>
      <option value="">Add an attribute…</option>
      ${Object.entries(EXAMPLES).map(([name, [label]]) => html`<option value=${name}>${label}</option>`)}
    </select>
  </div>`
}

/** @param {object} attributes @param {string} name */
function freeName(attributes, name) {
  let free = name
  for (let n = 2; free in attributes; n++) free = `${name}_${n}`
  return free
}
