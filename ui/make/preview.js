import {
  call,
  column,
  connection,
  duration,
  ErrorNotice,
  html,
  sleep,
  Table,
  useEffect,
  useState,
  useStore,
} from '../kit.js'

/** From the last key to the next preview. */
const PAUSE_MS = 300

/** Users shown. */
const SHOWN = 12

/**
 * Returns how the service would make the batch. The last answer stays until the next one has come. It asks again when the service is back.
 *
 * @param {object | undefined} body Undefined: it cannot be sent.
 * @returns {{ preview?: Preview, error?: any }}
 */
export function usePreview(body) {
  const [state, setState] = useState(/** @type {ReturnType<typeof usePreview>} */ ({}))
  const isLost = useStore(connection) === 'lost'
  const text = body && JSON.stringify(body)
  useEffect(() => {
    if (body === undefined) return
    const ended = new AbortController()
    const { signal } = ended
    const read = async () => {
      if (state.preview || state.error) await sleep(PAUSE_MS, signal)
      if (signal.aborted) return
      try {
        const preview = await call('POST', 'v1/batches/preview', { body, signal })
        if (!signal.aborted) setState({ preview })
      } catch (error) {
        if (!signal.aborted) setState({ error: /** @type {Error} */ (error) })
      }
    }
    void read()
    return () => ended.abort()
  }, [text, isLost])
  return state
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
      html`<${Table} caption="The first users" columns=${COLUMNS} items=${preview.users.slice(0, SHOWN)} id="username" />
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
  column('Role', 'role'),
  {
    title: 'Attributes',
    isWide: true,
    cell: ({ custom_attributes }) => html`<code class="clip">${JSON.stringify(custom_attributes)}</code>`,
  },
]
