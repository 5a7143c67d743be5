import { call } from './api.js'
import { html, useState } from './html.js'
import { ErrorNotice } from './parts/notice.js'
import { storeKey } from './session.js'

/** @param {{ onAccepted: () => void }} props Asks for a key. It stays in this tab. */
export function KeyForm({ onAccepted }) {
  const [key, setKey] = useState('')
  const [state, setState] = useState(
    /** @type {{ isBusy: boolean, fault?: string, error?: Error }} */ ({ isBusy: false }),
  )
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault()
    // A header takes nothing else.
    if (!/^[!-~]+$/.test(key.trim())) {
      setState({ isBusy: false, fault: 'A key has only ASCII characters and no blanks.' })
      return
    }
    setState({ isBusy: true })
    storeKey(key.trim())
    try {
      await call('GET', 'v1/me', { pool: null })
      setKey('')
      onAccepted()
    } catch (error) {
      const isUnknown = /** @type {{ code?: string }} */ (error).code === 'unauthorized'
      setState({
        isBusy: false,
        ...(isUnknown ? { fault: 'This key is not known.' } : { error: /** @type {Error} */ (error) }),
      })
    }
  }
  return html`<form class="panel narrow" onSubmit=${submit}>
    <h1>Enter an API key</h1>
    <p class="muted">This service is protected by keys. The key stays in this tab until you close it, and goes only to this service.</p>
    <${ErrorNotice} error=${state.error} />
    ${state.fault && html`<p class="notice danger" role="alert">${state.fault}</p>`}
    <label for="key">Key</label>
    <input id="key" type="password" autocomplete="off" spellcheck="false" value=${key} onInput=${(/** @type {any} */ event) => setKey(event.target.value)} />
    <div class="actions"><button type="submit" class="primary" disabled=${key.trim() === '' || state.isBusy}>Use this key</button></div>
  </form>`
}
