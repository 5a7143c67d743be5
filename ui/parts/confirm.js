import { number } from '../format.js'
import { html, useEffect, useId, useRef, useState } from '../html.js'
import { Field, submitting, useAction } from './form.js'
import { ErrorNotice } from './notice.js'

/**
 * A button that asks before something that cannot be undone. With `count`, it does so once that number is typed: a habit of clicking
 * does not delete a million users.
 *
 * @param {AskProps} props
 */
export function Ask({ text, run, look = async () => ({}), disabled, isMild, ...question }) {
  const { error, run: act } = useAction()
  const [opened, setOpened] = useState(/** @type {Partial<Question> | undefined} */ (undefined))
  return html`<button type="button" class=${isMild ? '' : 'danger'} disabled=${disabled} onClick=${() => act(async () => setOpened(await look()))}>${text}</button>
    <${ErrorNotice} error=${error} />
    ${opened && html`<${Dialog} ...${question} ...${opened} run=${run} close=${() => setOpened(undefined)} />`}`
}

/** @param {Question & { run: () => Promise<unknown>, close: () => void }} props */
function Dialog({ title, action, count, run, close, children }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null))
  const [typed, setTyped] = useState('')
  const { isBusy, error, run: act } = useAction()
  const id = useId()
  useEffect(() => dialog.current?.showModal(), [])

  const isTyped = count === undefined || typed.replace(/\D/g, '') === String(count)
  const submit = submitting(() => isTyped && !isBusy && act(() => run().then(close)))
  return html`<dialog ref=${dialog} onClose=${close} aria-labelledby=${id}>
    <form onSubmit=${submit}>
      <h2 id=${id}>${title}</h2>
      ${children}
      ${
        count !== undefined &&
        html`<${Field} label=${`Type ${number(count)} to confirm`} inputmode="numeric" value=${typed} onInput=${setTyped} />`
      }
      <${ErrorNotice} error=${error} />
      <div class="actions end">
        <button type="button" onClick=${close}>Keep</button>
        <button type="submit" class="danger" disabled=${!isTyped || isBusy || count === 0}>${isBusy ? 'Working…' : action}</button>
      </div>
    </form>
  </dialog>`
}
