import { piecesOf, send } from '../api.js'
import { html, useState } from '../html.js'
import { Copyable } from '../parts/copy.js'
import { ErrorNotice } from '../parts/notice.js'
import { can } from '../session.js'

/** @param {{ batch: { id: string, config: object }, pool: string }} props Shows the password that all users of a batch share, on request. */
export function SharedPassword({ batch, pool }) {
  const [state, setState] = useState(/** @type {{ password?: string | undefined, error?: Error }} */ ({}))
  if (!('password_mode' in batch.config) || batch.config.password_mode !== 'shared') return null
  if (!can('credentials:read', pool))
    return html`<p class="muted small">Its password needs a key with the scope <code>credentials:read</code>.</p>`
  const show = () =>
    readPassword(batch.id)
      .then((password) => setState({ password }))
      .catch((error) => setState({ error }))
  return html`<div>
    <${ErrorNotice} error=${state.error} />
    ${
      state.password === undefined
        ? html`<button type="button" onClick=${show}>Show the password</button>`
        : html`<p>All users of this batch have this password. It is shown until you leave this view.</p>
          <${Copyable} label="Password" text=${state.password} />`
    }
  </div>`
}

/** Reads the export up to its first user: all have the same password. */
async function readPassword(/** @type {string} */ id) {
  const ended = new AbortController()
  const query = { format: 'ndjson', batch_id: id, include: 'password' }
  const response = await send('GET', 'v1/users/export', { query, signal: ended.signal })
  try {
    let text = ''
    for await (const piece of piecesOf(response)) {
      text += piece
      for (const line of text.split('\n').slice(0, -1)) {
        const { password } = JSON.parse(line)
        if (typeof password === 'string') return password
      }
    }
    return undefined
  } finally {
    ended.abort()
  }
}
