import { number } from '../format.js'
import { html, useEffect, useId, useRef, useState } from '../html.js'
import { ErrorNotice } from './notice.js'

/**
 * Asks before something that cannot be undone. With `count`, the button works once that number is typed: a habit of clicking does not
 * delete a million users.
 *
 * @param {{
 *   title: string,
 *   action: string,
 *   count?: number | undefined,
 *   run: () => Promise<unknown>,
 *   close: () => void,
 *   children?: Children,
 * }} props `action` is the text of the button. `run` may throw: the dialog shows the error and stays.
 */
export function Confirm({ title, action, count, run, close, children }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null))
  const [typed, setTyped] = useState('')
  const [state, setState] = useState(/** @type {{ isBusy: boolean, error?: Error }} */ ({ isBusy: false }))
  const id = useId()
  useEffect(() => dialog.current?.showModal(), [])

  const isTyped = count === undefined || typed.replace(/\D/g, '') === String(count)
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault()
    if (!isTyped || state.isBusy) return
    setState({ isBusy: true })
    try {
      await run()
      close()
    } catch (error) {
      setState({ isBusy: false, error: /** @type {Error} */ (error) })
    }
  }
  return html`<dialog ref=${dialog} onClose=${close} aria-labelledby=${`${id}title`}>
    <form onSubmit=${submit}>
      <h2 id=${`${id}title`}>${title}</h2>
      ${children}
      ${
        count !== undefined &&
        html`<label for=${id}>Type <strong class="number">${number(count)}</strong> to confirm</label>
        <input id=${id} inputmode="numeric" autocomplete="off" value=${typed} onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} />`
      }
      <${ErrorNotice} error=${state.error} />
      <div class="actions end">
        <button type="button" onClick=${close}>Keep</button>
        <button type="submit" class="danger" disabled=${!isTyped || state.isBusy}>${state.isBusy ? 'Working…' : action}</button>
      </div>
    </form>
  </dialog>`
}
