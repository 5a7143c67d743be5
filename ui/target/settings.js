import {
  call,
  changesOf,
  Field,
  Form,
  faultsOf,
  html,
  json,
  membersOf,
  optionsOf,
  useAction,
  useDescription,
  useForm,
  whole,
} from '../kit.js'

/** The texts of the form. The key is never shown. The members that are not in most targets are JSON. */
const formOf = (/** @type {Partial<TargetItem>} */ { url = '', interval_seconds, ...target }) => ({
  ...{ name: '', kind: target.kind ?? 'usersync', url, key: '', preset: '', remote_pool: target.remote_pool ?? '' },
  interval_seconds: String(interval_seconds ?? ''),
  more: JSON.stringify(
    Object.fromEntries(
      ['filter', 'mapping', 'limits', 'canary'].flatMap((name) => {
        const value = target[/** @type {'filter'} */ (name)]
        return value ? [[name, value]] : []
      }),
    ),
    null,
    2,
  ),
})

/**
 * The members of the texts, and what in them is not even a number or JSON. The service finds every other fault.
 *
 * @param {Record<string, string>} texts
 */
function bodyOf({ name: _name, kind: _kind, more, interval_seconds, ...texts }) {
  /** @type {FieldFault[]} */
  const faults = []
  const body = {
    ...texts,
    ...(interval_seconds !== undefined && {
      interval_seconds: interval_seconds === '' ? null : whole(interval_seconds, 'interval_seconds', faults),
    }),
    ...(more !== undefined && json(more, 'more', faults)),
  }
  return { body, faults }
}

/** Creates a target, or changes one. @param {{ target?: TargetItem, onSaved: (name: string) => void }} props */
export function TargetSettings({ target, onSaved }) {
  const before = formOf(target ?? {})
  const { form, fieldsOf } = useForm(before)
  const action = useAction()
  const { kind, preset, url } = membersOf(useDescription(), 'NewTarget')
  const presets = preset?.['x-presets'][form.kind] ?? []
  /** Another kind has other presets. */
  const chosen = presets.includes(form.preset) ? form.preset : ''
  const { body, faults } = bodyOf(changesOf({ ...form, preset: chosen }, before))
  const { field, others } = fieldsOf([...faults, ...faultsOf(action.error)])
  const save = async () => {
    if (target) await call('PATCH', `v1/targets/${encodeURIComponent(target.name)}`, { body })
    else await call('POST', 'v1/targets', { body: { name: form.name, kind: form.kind, ...body } })
    onSaved(form.name)
  }
  return html`<${Form} text=${target ? 'Save' : 'Create the target'} disabled=${faults.length > 0 || (target && Object.keys(body).length === 0)} action=${action} work=${save}>
    ${
      !target &&
      html`<div class="row">
      <${Field} label="Name" required ...${field('name')} />
      <${Field} label="Kind" options=${optionsOf(kind?.enum)} ...${field('kind')} hint="usersync: another service like this one." />
    </div>`
    }
    <div class="row">
      <${Field} label="Address" required ...${field('url')} hint=${url?.description.replaceAll('`', '')} />
      <${Field} label="Key or password" type="password" autocomplete="new-password" placeholder=${target?.has_key ? 'stored; type to replace it' : 'none'} ...${field('key')} hint="It is stored encrypted, and not shown again." />
    </div>
    <div class="row">
      ${
        form.kind === 'usersync'
          ? html`<${Field} label="Pool there" placeholder="the same name" ...${field('remote_pool')} hint="A replica: the overview of that service makes one. An empty pool becomes a replica of everything." />`
          : presets.length > 0 &&
            html`<${Field} label="Preset" options=${optionsOf(presets, 'none')} ...${field('preset')} hint=${preset?.description} />`
      }
      <${Field} label="Push every, in seconds" inputmode="numeric" placeholder="on request only" ...${field('interval_seconds')} />
    </div>
    <details open=${others().length > 0}>
      <summary>More settings</summary>
      <${Field} label="Members of the target, as JSON" rows=${8} class="code" ...${field('more', '')} faults=${others().map(({ path, message }) => `${path.replace('body.', '')} ${message}`)} hint="filter: which users. For systems under test also mapping and limits (docs/sinks.md), and canary (docs/canary.md)." />
    </details>
  <//>`
}
