import {
  Allowed,
  Copyable,
  call,
  can,
  counted,
  curlOf,
  Faults,
  Field,
  faultsOf,
  go,
  html,
  link,
  membersOf,
  optionsOf,
  route,
  submitting,
  useAction,
  useCall,
  useDescription,
  useForm,
  useMemo,
  useState,
  useStore,
} from '../kit.js'
import { Attributes } from '../make/attributes.js'
import { batchBody, EMPTY_FORM, withoutPassword } from '../make/batch-body.js'
import { PreviewPanel, usePreview } from '../make/preview.js'

/** In a preview while the number is faulty. */
const SOME_USERS = 10_000

const option = (/** @type {string} */ value, text = value) => ({ value, text })

/** The form for a batch, with a preview of its users. */
export function MakeUsers() {
  const mayRead = can('users:read')
  const { template: fromAddress } = useStore(route).params
  const { form, fieldsOf } = useForm({ ...EMPTY_FORM, ...(fromAddress && { template: fromAddress }) })
  const { isBusy, error: refused, run } = useAction()
  const [made, setMade] = useState(/** @type {string | undefined} */ (undefined))
  const { data: templates } = useCall(mayRead && 'v1/templates', { query: { limit: 1000 } })
  const { locale, password_hash: hash } = membersOf(useDescription(), 'NewBatchSettings')
  const { body, faults: ownFaults } = batchBody(form)
  const previewed = { ...body, count: body['count'] ?? SOME_USERS }
  const { preview, error: previewError } = usePreview(mayRead ? previewed : undefined)
  /** The service looks at the settings only if the rest of the body is right. */
  const isRestWrong = faultsOf(previewError).length > 0
  const { preview: settings } = usePreview(
    isRestWrong ? { count: SOME_USERS, template: form.template, config: body['config'] } : undefined,
  )
  const text = JSON.stringify(body)
  /** Sent with the request, so a second click or an answer that got lost does not make the users twice. */
  const idempotencyKey = useMemo(randomKey, [text])
  const [sent, setSent] = useState('')
  /** A refusal is about the settings that were sent, not about those that were typed since. */
  const error = sent === text ? refused : undefined

  const { field, others } = fieldsOf(
    unique([
      ...ownFaults,
      ...faultsOf(error),
      ...faultsOf(previewError),
      ...((isRestWrong ? settings : preview)?.errors ?? []),
    ]),
  )
  const setting = (/** @type {keyof typeof form} */ name) => field(name, `config.${name}`)
  const template =
    templates?.items.find((/** @type {{ name: string }} */ { name }) => name === form.template)?.config ?? {}
  const isValid = ownFaults.length === 0 && (!mayRead || (preview?.is_valid === true && !previewError))
  const submit = submitting(() => {
    if (isBusy || !isValid) return
    setSent(text)
    void run(async () => {
      const { id } = await call('POST', 'v1/batches', { body, headers: { 'idempotency-key': idempotencyKey } })
      if (mayRead) go(link(['batches', id]))
      else setMade(id)
    })
  })

  return html`<form class="columns" onSubmit=${submit}>
    <div class="stack">
      <section class="panel">
        <h2>How many, and which</h2>
        <div class="row">
          <${Field} label="Users" inputmode="numeric" ...${field('count')} />
          <${Field} label="Label" placeholder="optional" maxlength="200" ...${field('label')} />
        </div>
        <${Field}
          label="Template"
          options=${(templates?.items ?? (mayRead ? [{ name: form.template }] : undefined))?.map((/** @type {any} */ { name, description }) => option(name, description ? `${name}: ${description}` : name))}
          ...${field('template')}
          hint="Fields that you leave empty come from the template."
        />
        <div class="row">
          <${Field} label="Remove after" inputmode="numeric" placeholder="never" ...${field('expires', 'expires_in')} />
          <${Field} label="Unit" options=${[option('60', 'minutes'), option('3600', 'hours'), option('86400', 'days')]} ...${field('expiresUnit', 'none')} />
        </div>
      </section>
      <section class="panel">
        <h2>What they look like</h2>
        <${Field} label="Username pattern" placeholder=${template.username_pattern} ...${setting('username_pattern')} hint="{id}, {n}, {batch} and the names of attributes, such as {first}.{last}.{n}@example.com" />
        <div class="row">
          <${Field} label="Role" placeholder=${typeof template.role === 'object' ? JSON.stringify(template.role) : template.role} ...${setting('role')} />
          <${Field} label="E-mail domain" placeholder=${template.email_domain} ...${setting('email_domain')} />
        </div>
        <${Attributes} ...${setting('custom_attributes')} ofTemplate=${template.custom_attributes ?? {}} />
        <div class="row">
          <${Field} label="Language of names" options=${optionsOf(locale?.enum, `${template.locale ?? 'en'} (default)`)} ...${setting('locale')} />
          <${Field} label="Seed" placeholder="random" ...${setting('seed')} hint="The same seed makes the same users." />
        </div>
      </section>
      <section class="panel">
        <h2>How they log in</h2>
        <div class="row">
          <${Field} label="Password" options=${[option('', 'one for all users'), option('per_user', 'one for each user')]} ...${setting('password_mode')} />
          <${Field} label="Shared password" type="password" disabled=${form.password_mode === 'per_user'} placeholder="generated" autocomplete="new-password" ...${setting('password')} />
        </div>
        <div class="row">
          <${Field} label="Hashes for" options=${optionsOf(hash?.properties.preset.enum, 'argon2id, default costs')} ...${field('preset', 'config.password_hash.preset')} hint="The system under test." />
          <${Field} label="Different hashes" inputmode="numeric" placeholder=${form.password_mode === 'per_user' ? 'one for each user' : '1'} ...${field('distinct', 'config.password_hash.distinct')} />
        </div>
        <div class="row">
          <${Field} label="Second factor" options=${[option('', 'none'), option('true', 'TOTP')]} ...${setting('totp')} />
          <${Field} label="Epoch" placeholder="2026-01-01T00:00:00Z" ...${setting('epoch')} hint="With a seed: the same ids and times on every server." />
        </div>
      </section>
    </div>
    <div class="stack beside">
      <section class="panel">
        <${Faults} error=${error} faults=${others()} />
        ${made && html`<p class="notice" role="status">The batch <code>${made}</code> is queued. To watch it takes a key with the scope <code>users:read</code>.</p>`}
        <${Allowed} scope="users:write" what="Making users">
          <button type="submit" class="primary large" disabled=${!isValid || isBusy}>
            ${isBusy ? 'Making…' : `Make ${typeof body['count'] === 'number' ? counted(body['count'], 'user') : 'users'}`}
          </button>
        <//>
        <details>
          <summary>As a command</summary>
          <${Copyable} label="The curl command of this batch" text=${curlOf('POST', 'v1/batches', withoutPassword(body))} />
        </details>
      </section>
      <${Allowed} scope="users:read" what="A preview of the users">
        <${PreviewPanel} preview=${preview} error=${isRestWrong ? undefined : previewError} />
      <//>
    </div>
  </form>`
}

/** @param {FieldFault[]} faults */
const unique = (faults) => [...new Map(faults.map((fault) => [`${fault.path} ${fault.message}`, fault])).values()]

/** `crypto.randomUUID` exists on https and localhost only. */
const randomKey = () =>
  crypto.getRandomValues(new Uint8Array(16)).reduce((text, byte) => text + byte.toString(16).padStart(2, '0'), '')
