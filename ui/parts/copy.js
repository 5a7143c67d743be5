import { html, useState } from '../html.js'

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
