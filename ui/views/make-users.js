import { ApiError, call } from '../api.js'
import { curlOf } from '../curl.js'
import { number } from '../format.js'
import { html, useEffect, useMemo, useState } from '../html.js'
import { useLive } from '../live.js'
import { Attributes } from '../make/attributes.js'
import { batchBody, EMPTY_FORM, withoutPassword } from '../make/batch-body.js'
import { PreviewPanel, usePreview } from '../make/preview.js'
import { Copyable } from '../parts/copy.js'
import { Field } from '../parts/field.js'
import { ErrorNotice, NotAllowed } from '../parts/notice.js'
import { go, link, route } from '../route.js'
import { can } from '../session.js'
import { useStore } from '../store.js'

const LOCALES = ['en', 'de', 'fr', 'es', 'pt_BR', 'ja', 'zh_CN', 'ar']

const PRESETS = [
  ...[
    'auth0',
    'better-auth',
    'devise',
    'django',
    'firebase',
    'fusionauth',
    'gotrue',
    'keycloak',
    'kratos',
    'laravel',
    'okta',
  ],
  ...['openldap', 'spring-security', 'supabase', 'supertokens', 'wordpress'],
]

const option = (/** @type {string} */ value, text = value) => ({ value, text })

/** @param {{ pool: string }} props The form for a batch, with a preview of its users. */
export function MakeUsers({ pool }) {
  const { template: fromAddress } = useStore(route).params
  const [form, setForm] = useState({ ...EMPTY_FORM, ...(fromAddress && { template: fromAddress }) })
  const [sent, setSent] = useState(/** @type {{ isBusy: boolean, error?: Error }} */ ({ isBusy: false }))
  const { data: templates } = useLive((signal) => call('GET', 'v1/templates', { query: { limit: 1000 }, signal }), [])
  const { body, faults: ownFaults } = batchBody(form)
  const { preview, error: previewError } = usePreview(ownFaults.length === 0 ? body : undefined)
  const text = JSON.stringify(body)
  /** Sent with the request, so a second click or an answer that got lost does not make the users twice. */
  const idempotencyKey = useMemo(randomKey, [text])
  useEffect(() => setSent({ isBusy: false }), [text])

  const refused = [sent.error, previewError].flatMap((error) => (error instanceof ApiError ? error.fieldFaults : []))
  const faults = unique([...ownFaults, ...refused, ...(preview?.errors ?? [])])
  const faultsOf = (/** @type {string} */ name) => faults.filter(({ path }) => isAt(path, name))
  const unplaced = faults.filter(({ path }) => !PLACED.some((name) => isAt(path, name)))
  const field = (/** @type {keyof typeof EMPTY_FORM} */ name, path = `config.${name}`) => ({
    value: form[name],
    onInput: (/** @type {string} */ value) => setForm({ ...form, [name]: value }),
    faults: faultsOf(path),
  })
  const template =
    templates?.items.find((/** @type {{ name: string }} */ { name }) => name === form.template)?.config ?? {}
  const isValid = ownFaults.length === 0 && preview?.is_valid === true && !previewError
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault()
    if (sent.isBusy) return
    setSent({ isBusy: true })
    try {
      const batch = await call('POST', 'v1/batches', { body, headers: { 'idempotency-key': idempotencyKey } })
      go(link(['batches', batch.id]))
    } catch (error) {
      setSent({ isBusy: false, error: /** @type {Error} */ (error) })
    }
  }

  return html`<form class="columns" onSubmit=${submit}>
    <div class="stack">
      <section class="panel">
        <h2>How many, and which</h2>
        <div class="row">
          <${Field} label="Users" inputmode="numeric" ...${field('count', 'count')} />
          <${Field} label="Label" placeholder="optional" maxlength="200" ...${field('label', 'label')} />
        </div>
        <${Field}
          label="Template"
          options=${(templates?.items ?? [{ name: form.template, description: '' }]).map((/** @type {any} */ { name, description }) => option(name, description ? `${name}: ${description}` : name))}
          ...${field('template', 'template')}
          hint="Fields that you leave empty come from the template."
        />
        <div class="row">
          <${Field} label="Remove after" inputmode="numeric" placeholder="never" ...${field('expires', 'expires_in')} />
          <${Field} label="Unit" options=${[option('60', 'minutes'), option('3600', 'hours'), option('86400', 'days')]} ...${field('expiresUnit', 'none')} />
        </div>
      </section>
      <section class="panel">
        <h2>What they look like</h2>
        <${Field} label="Username pattern" placeholder=${template.username_pattern} ...${field('username_pattern')} hint="{id}, {n}, {batch} and the names of attributes, such as {first}.{last}.{n}@example.com" />
        <div class="row">
          <${Field} label="Role" placeholder=${typeof template.role === 'object' ? JSON.stringify(template.role) : template.role} ...${field('role')} />
          <${Field} label="E-mail domain" placeholder=${template.email_domain} ...${field('email_domain')} />
        </div>
        <${Attributes} ...${field('custom_attributes')} ofTemplate=${template.custom_attributes ?? {}} />
        <div class="row">
          <${Field} label="Language of names" options=${[option('', `${template.locale ?? 'en'} (default)`), ...LOCALES.map((each) => option(each))]} ...${field('locale')} />
          <${Field} label="Seed" placeholder="random" ...${field('seed')} hint="The same seed makes the same users." />
        </div>
      </section>
      <section class="panel">
        <h2>How they log in</h2>
        <div class="row">
          <${Field} label="Password" options=${[option('', 'one for all users'), option('per_user', 'one for each user')]} ...${field('password_mode')} />
          <${Field} label="Shared password" type="password" disabled=${form.password_mode === 'per_user'} placeholder="generated" autocomplete="new-password" ...${field('password')} />
        </div>
        <div class="row">
          <${Field} label="Hashes for" options=${[option('', 'argon2id, default costs'), ...PRESETS.map((each) => option(each))]} ...${field('preset', 'config.password_hash.preset')} hint="The system under test." />
          <${Field} label="Different hashes" inputmode="numeric" placeholder=${form.password_mode === 'per_user' ? 'one for each user' : '1'} ...${field('distinct', 'config.password_hash.distinct')} />
        </div>
        <div class="row">
          <${Field} label="Second factor" options=${[option('', 'none'), option('true', 'TOTP')]} ...${field('totp')} />
          <${Field} label="Epoch" placeholder="2026-01-01T00:00:00Z" ...${field('epoch')} hint="With a seed: the same ids and times on every server." />
        </div>
      </section>
    </div>
    <div class="stack beside">
      <section class="panel">
        <${ErrorNotice} error=${sent.error} />
        ${unplaced.map(({ path, message }) => html`<p class="notice danger"><code>${path}</code> ${message}</p>`)}
        ${
          can('users:write', pool)
            ? html`<button type="submit" class="primary large" disabled=${!isValid || sent.isBusy}>
              ${sent.isBusy ? 'Making…' : `Make ${typeof body['count'] === 'number' ? number(body['count']) : ''} users`}
            </button>`
            : html`<${NotAllowed} scope="users:write" what="Making users" />`
        }
        <details>
          <summary>As a command</summary>
          <${Copyable} label="The curl command of this batch" text=${curlOf('POST', 'v1/batches', withoutPassword(body))} />
        </details>
      </section>
      <${PreviewPanel} preview=${preview} error=${refused.length > 0 ? undefined : previewError} />
    </div>
  </form>`
}

/** The members that have a field. Faults of others stand above the button. */
const PLACED = [
  ...['count', 'label', 'template', 'expires_in', 'config.username_pattern', 'config.email_domain', 'config.role'],
  ...['config.custom_attributes', 'config.password', 'config.password_mode', 'config.password_hash.preset'],
  ...['config.password_hash.distinct', 'config.totp', 'config.locale', 'config.seed', 'config.epoch'],
]

/** Whether a fault's path is that of a member, or inside of it. */
const isAt = (/** @type {string} */ path, /** @type {string} */ name) =>
  path === `body.${name}` || path.startsWith(`body.${name}.`) || path.startsWith(`body.${name}[`)

/** @param {FieldFault[]} faults */
const unique = (faults) => [...new Map(faults.map((fault) => [`${fault.path} ${fault.message}`, fault])).values()]

/** `crypto.randomUUID` exists on https and localhost only. */
const randomKey = () =>
  crypto.getRandomValues(new Uint8Array(16)).reduce((text, byte) => text + byte.toString(16).padStart(2, '0'), '')
