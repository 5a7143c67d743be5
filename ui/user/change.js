import { call, changesOf, Field, Form, faultsOf, html, isObject, json, useAction, useForm, useState } from '../kit.js'

/** @param {UserItem} user */
const formOf = ({ username, email, role, custom_attributes }) => ({
  ...{ username, email, role },
  custom_attributes: JSON.stringify(custom_attributes, null, 2),
})

/**
 * Changes a test user. The user that was first shown is what the changes start from: what others change meanwhile stays.
 *
 * @param {{ user: UserItem, path: string, onSaved: () => void }} props
 */
export function UserChange({ user: present, path, onSaved }) {
  const [user, setUser] = useState(present)
  const before = formOf(user)
  const { form, setForm, fieldsOf } = useForm(before)
  const action = useAction()
  /** @type {FieldFault[]} */
  const faults = []
  const attributes = json(form.custom_attributes, 'custom_attributes', faults)
  const { custom_attributes: text, ...texts } = changesOf(form, before)
  const custom_attributes = isObject(attributes) ? patchOf(user.custom_attributes, attributes) : attributes
  const change = { ...texts, ...(text !== undefined && { custom_attributes }) }
  const { field, others } = fieldsOf([...faults, ...faultsOf(action.error)])
  const save = async () => {
    const changed = await call('PATCH', path, { body: change })
    setUser(changed)
    setForm(formOf(changed))
    onSaved()
  }
  return html`<details>
    <summary>Change the user</summary>
    <${Form} text="Save" disabled=${faults.length > 0 || Object.keys(change).length === 0} action=${action} work=${save} others=${others}>
      <div class="row">
        <${Field} label="Username" ...${field('username')} />
        <${Field} label="E-mail" ...${field('email')} />
        <${Field} label="Role" ...${field('role')} />
      </div>
      <${Field} label="Custom attributes" rows=${10} class="code" ...${field('custom_attributes')} hint="JSON. null removes an attribute." />
    <//>
  </details>`
}

/**
 * The JSON merge patch (RFC 7396) that makes `after` of `before`.
 *
 * @param {Record<string, any>} before
 * @param {Record<string, any>} after
 * @returns {Record<string, unknown>}
 */
function patchOf(before, after) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])]
  return Object.fromEntries(
    names.flatMap((name) => {
      const [old, wanted] = [before[name], Object.hasOwn(after, name) ? after[name] : null]
      if (JSON.stringify(old) === JSON.stringify(wanted)) return []
      return [[name, isObject(old) && isObject(wanted) ? patchOf(old, wanted) : wanted]]
    }),
  )
}
