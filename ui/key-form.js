import { call, Field, Form, html, storeKey, useAction, useState } from './kit.js'

/** @param {{ onAccepted: () => void }} props Asks for a key. It stays in this tab. */
export function KeyForm({ onAccepted }) {
  const [text, setText] = useState('')
  const action = useAction()
  const key = text.trim()
  const check = async () => {
    storeKey(key)
    await call('GET', 'v1/me', { pool: null })
    onAccepted()
  }
  const isSendable = /^[!-~]*$/.test(key) // a header takes nothing else
  const isUnknown = action.error?.code === 'unauthorized'
  const faults = [
    ...(isSendable ? [] : ['A key has only ASCII characters and no blanks.']),
    ...(isUnknown ? ['This key is not known.'] : []),
  ]
  return html`<div class="panel narrow">
    <h1>Enter an API key</h1>
    <p class="muted">This service is protected by keys. The key stays in this tab until you close it, and goes only to this service.</p>
    <${Form} text="Use this key" disabled=${key === '' || !isSendable} action=${isUnknown ? { ...action, error: undefined } : action} work=${check}>
      <${Field} label="Key" type="password" value=${text} onInput=${setText} faults=${faults} />
    <//>
  </div>`
}
