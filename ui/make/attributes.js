import { Field, html } from '../kit.js'

/** Attributes to start from, each with a generator. All generators: docs/generators.md. */
const EXAMPLES = {
  first: { label: 'First name', value: { $name: 'first' } },
  last: { label: 'Last name', value: { $name: 'last' } },
  plan: { label: 'Choice with weights', value: { $choice: { free: 7, gold: 2, vip: 1 } } },
  age: { label: 'Whole number', value: { $int: [18, 90] } },
  balance: { label: 'Decimal number', value: { $decimal: [0, 999.99, 2] } },
  newsletter: { label: 'Yes or no', value: { $bool: 0.3 } },
  since: { label: 'Date', value: { $date: ['2020-01-01', '2026-01-01'] } },
  city: { label: 'City', value: { $place: 'city' } },
  phone: { label: 'Phone number', value: { $phone: true } },
  customer_no: { label: 'Running number', value: { $seq: { start: 1000, step: 1 } } },
  code: { label: 'Code by a pattern', value: { $unique: { $pattern: '[A-Z]{2}[0-9]{6}' } } },
  interests: { label: 'List', value: { $list: { $choice: ['sport', 'music', 'food'] }, length: [0, 3] } },
}

/**
 * The custom attributes as JSON, with examples of generators to add.
 *
 * @param {{ value: string, onInput: (value: string) => void, faults: string[], ofTemplate: object }} props
 * `ofTemplate`: the attributes that apply while the field is empty.
 */
export function Attributes({ value, onInput, faults, ofTemplate }) {
  const attributes = parsed(value.trim() === '' ? JSON.stringify(ofTemplate) : value)
  const add = (/** @type {any} */ event) => {
    const name = /** @type {keyof typeof EXAMPLES} */ (event.target.value)
    event.target.value = ''
    if (!attributes || !(name in EXAMPLES)) return
    onInput(JSON.stringify({ ...attributes, [freeName(attributes, name)]: EXAMPLES[name].value }, null, 2))
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
    <select class="add" aria-label="Add an attribute" disabled=${!attributes} onChange=${add}>
      <option value="">Add an attribute…</option>
      ${Object.entries(EXAMPLES).map(([name, { label }]) => html`<option value=${name}>${label}</option>`)}
    </select>
  </div>`
}

/** @param {string} text @returns {Record<string, unknown> | undefined} */
function parsed(text) {
  try {
    const value = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** @param {object} attributes @param {string} name */
function freeName(attributes, name) {
  let free = name
  for (let n = 2; free in attributes; n++) free = `${name}_${n}`
  return free
}
