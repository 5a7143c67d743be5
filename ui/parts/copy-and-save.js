import { urlOf } from '../api.js'
import { html, useState } from '../html.js'
import { readKey } from '../session.js'

/** @param {{ text: string, label: string }} props A text to copy, such as a command. */
export function Copyable({ text, label }) {
  const [isCopied, setCopied] = useState(false)
  const copy = async () => {
    // Without https or localhost there is no clipboard: the text is selectable.
    await navigator.clipboard?.writeText(text).then(
      () => setCopied(true),
      () => {},
    )
    setTimeout(() => setCopied(false), 2_000)
  }
  return html`<div class="copyable">
    <pre tabindex="0" role="region" aria-label=${label}><code>${text}</code></pre>
    ${navigator.clipboard && html`<button type="button" onClick=${copy}>${isCopied ? 'Copied' : 'Copy'}</button>`}
  </div>`
}

/**
 * The curl command of a request. The key stays out of it: the command reads it from the variable USERSYNC_KEY.
 *
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 */
export function curlOf(method, path, body) {
  const parts = [`curl -X ${method} ${quoted(urlOf(path).href)}`]
  if (readKey()) parts.push('-H "authorization: Bearer $USERSYNC_KEY"')
  if (body) parts.push(`-H 'content-type: application/json'`, `-d ${quoted(JSON.stringify(body))}`)
  return parts.join(' \\\n  ')
}

/** A word of a POSIX shell. */
const quoted = (/** @type {string} */ text) => `'${text.replaceAll("'", `'\\''`)}'`

/** @param {Blob} blob @param {string} name */
export function saveBlob(blob, name) {
  const address = URL.createObjectURL(blob)
  saveAs(address, name)
  setTimeout(() => URL.revokeObjectURL(address), 60_000) // the browser reads it after the click
}

/** @param {string} address @param {string} name */
export function saveAs(address, name) {
  const anchor = document.createElement('a')
  anchor.href = address
  anchor.download = name
  anchor.click()
}
