import { call } from './api.js'
import { html, useState } from './html.js'
import { Field, useAction } from './parts/form.js'
import { ErrorNotice } from './parts/notice.js'
import { storeKey } from './session.js'

/** @param {{ onAccepted: () => void }} props Asks for a key. It stays in this tab. */
export function KeyForm({ onAccepted }) {
  const [text, setText] = useState('')
  const { isBusy, error, run } = useAction()
  const key = text.trim()
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault()
    void run(async () => {
      storeKey(key)
      await call('GET', 'v1/me', { pool: null })
      onAccepted()
    })
  }
  const isSendable = /^[!-~]*$/.test(key) // a header takes nothing else
  const isUnknown = error?.code === 'unauthorized'
  const faults = [
    ...(isSendable ? [] : ['A key has only ASCII characters and no blanks.']),
    ...(isUnknown ? ['This key is not known.'] : []),
  ]
  return html`<form class="panel narrow" onSubmit=${submit}>
    <h1>Enter an API key</h1>
    <p class="muted">This service is protected by keys. The key stays in this tab until you close it, and goes only to this service.</p>
    <${ErrorNotice} error=${isUnknown ? undefined : error} />
    <${Field} label="Key" type="password" value=${text} onInput=${setText} faults=${faults} />
    <div class="actions"><button type="submit" class="primary" disabled=${key === '' || !isSendable || isBusy}>Use this key</button></div>
  </form>`
}
