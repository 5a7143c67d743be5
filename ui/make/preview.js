import { call, connection } from '../api.js'
import { duration } from '../format.js'
import { html, useEffect, useState } from '../html.js'
import { sleep } from '../live.js'
import { ErrorNotice } from '../parts/notice.js'
import { Table } from '../parts/table.js'
import { useStore } from '../store.js'

/** The preview follows the form this long after the last key. */
const PAUSE_MS = 300

/** Users shown, of at most 100 that the service makes. */
const SHOWN = 12

/**
 * Returns how the service would make the batch. The last answer stays until the next one has come. It asks again when the service is back.
 *
 * @param {object | undefined} body Undefined: it cannot be sent.
 * @returns {{ preview: Preview | undefined, error: Error | undefined }}
 */
export function usePreview(body) {
  const [state, setState] = useState(/** @type {{ preview?: Preview, error?: Error }} */ ({}))
  const isLost = useStore(connection) === 'lost'
  const text = body && JSON.stringify(body)
  useEffect(() => {
    if (body === undefined) return
    const { signal, abort } = abortable()
    const read = async () => {
      await sleep(PAUSE_MS, signal)
      if (signal.aborted) return
      try {
        const preview = await call('POST', 'v1/batches/preview', { body, signal })
        if (!signal.aborted) setState({ preview })
      } catch (error) {
        if (!signal.aborted) setState({ error: /** @type {Error} */ (error) })
      }
    }
    void read()
    return abort
  }, [text, isLost])
  return { preview: state.preview, error: state.error }
}

function abortable() {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort() }
}

/** @param {{ preview: Preview | undefined, error: Error | undefined }} props */
export function PreviewPanel({ preview, error }) {
  const seconds = preview?.estimated_seconds
  return html`<section class="panel" aria-label="Preview">
    <h2>The first users</h2>
    <${ErrorNotice} error=${error} />
    ${preview?.warnings.map(({ path, message }) => html`<p class="notice warn"><code>${path.replace('body.config.', '')}</code> ${message}</p>`)}
    ${preview && !preview.is_valid && html`<p class="muted">Correct the marked settings to see the users.</p>`}
    ${
      preview?.is_valid &&
      html`<${Table} caption="The first users" columns=${COLUMNS} items=${preview.users.slice(0, SHOWN)} idOf=${(/** @type {PreviewUser} */ { username }) => username} />
      ${
        seconds &&
        html`<p class="muted small">
        Takes about ${duration(seconds.hashing + seconds.creating)}${seconds.hashing > 0 && html`, of which ${duration(seconds.hashing)} for password hashes`}.
      </p>`
      }`
    }
  </section>`
}

/** @type {Column<PreviewUser>[]} */
const COLUMNS = [
  { title: 'Username', cell: ({ username }) => html`<span class="wrap">${username}</span>` },
  { title: 'Role', cell: ({ role }) => role },
  {
    title: 'Attributes',
    isWide: true,
    cell: ({ custom_attributes }) => html`<code class="clip">${JSON.stringify(custom_attributes)}</code>`,
  },
]
