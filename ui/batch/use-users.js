import {
  Allowed,
  Copyable,
  can,
  counted,
  ErrorNotice,
  html,
  parameterOf,
  piecesOf,
  readKey,
  saveAs,
  saveBlob,
  send,
  urlOf,
  useAction,
  useDescription,
  useState,
} from '../kit.js'

/** The service's own formats. The others are files that a system under test imports. */
const FORMATS = ['csv', 'json', 'ndjson']

/** @param {{ batch: { id: string, config: object } }} props Downloads the users of a batch. */
export function Download({ batch }) {
  const [format, setFormat] = useState('csv')
  const [hasLogins, setHasLogins] = useState(false)
  const { isBusy, error, run } = useAction()
  const [parts, setParts] = useState(/** @type {Parts | undefined} */ (undefined))
  /** @type {string[]} */
  const formats = parameterOf(useDescription(), '/v1/users/export', 'format')?.enum ?? FORMATS
  const mayReadLogins = can('credentials:read')
  const isOwn = FORMATS.includes(format)
  const query = {
    format,
    batch_id: batch.id,
    ...(isOwn && hasLogins && { include: 'password,password_hash' }),
  }
  const start = async () => {
    setParts(undefined)
    if (readKey() === undefined && isOwn) saveAs(urlOf('v1/users/export', { query }).href, `${nameOf(query)}.${format}`)
    else await downloadParts(query, setParts)
  }
  return html`<div>
    <div class="row bottom">
      <div class="field">
        <label for="format">Download as</label>
        <select id="format" onChange=${(/** @type {any} */ event) => setFormat(event.target.value)}>
          <optgroup label="Lists">${FORMATS.map((name) => html`<option selected=${name === format}>${name}</option>`)}</optgroup>
          <optgroup label=${mayReadLogins ? 'Files for systems under test' : 'Files for systems: need the scope credentials:read'} disabled=${!mayReadLogins}>
            ${formats.filter((name) => !FORMATS.includes(name)).map((name) => html`<option selected=${name === format}>${name}</option>`)}
          </optgroup>
        </select>
      </div>
      <button type="button" onClick=${() => run(start)} disabled=${isBusy}>${isBusy ? 'Downloading…' : 'Download'}</button>
    </div>
    <label class="check">
      <input type="checkbox" checked=${hasLogins && isOwn} disabled=${!mayReadLogins || !isOwn} onChange=${(/** @type {any} */ event) => setHasLogins(event.target.checked)} />
      With passwords and hashes ${!mayReadLogins && html`<span class="muted">(needs the scope credentials:read)</span>`}
    </label>
    <p role="status">${parts && partsText(parts)}</p>
    <${ErrorNotice} error=${error} />
  </div>`
}

/** @typedef {{ count: number, isLast: boolean, hasChanged: boolean }} Parts `hasChanged`: the parts are of different states. */

/** @param {Parts} parts */
function partsText({ count, isLast, hasChanged }) {
  const saved = isLast ? `${count} of ${counted(count, 'part')} saved.` : `${counted(count, 'part')} saved, not all.`
  return `${saved}${hasChanged ? ' The users changed meanwhile, so the parts do not fit together: download them again.' : ''}`
}

/** Chromium saves at most ten files a second without a click, and drops the others silently. */
const PARTS_AT_ONCE = 8
const PAUSE_MS = 1_200

/**
 * Saves an export, part by part where the format has parts. A link cannot send the key, so the page reads the body itself; the browser
 * keeps a large one on disk.
 *
 * @param {{ format: string, batch_id: string }} query
 * @param {(parts: Parts) => void} onSaved Called after each part.
 */
async function downloadParts(query, onSaved) {
  const first = urlOf('v1/users/export', { query })
  const states = new Set()
  let path = first.pathname + first.search
  for (let part = 1; path !== ''; part++) {
    const response = await send('GET', path, { pool: null })
    const blob = await response.blob()
    const extension = blob.type.replace(/^.*\/(x-)?|;.*$/g, '') // such as ndjson of application/x-ndjson
    const [, next = ''] = /<([^>]*)>; rel="next"/.exec(response.headers.get('link') ?? '') ?? []
    const suffix = part > 1 || next ? `-${part}` : ''
    saveBlob(blob, `${nameOf(query)}${suffix}.${extension}`)
    states.add(response.headers.get('usersync-state'))
    onSaved({ count: part, isLast: !next, hasChanged: states.size > 1 })
    if (next && part % PARTS_AT_ONCE === 0) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    path = next && first.pathname + new URL(next, location.origin).search // a proxy may have put a path in front
  }
}

const nameOf = (/** @type {{ format: string, batch_id: string }} */ { format, batch_id }) =>
  `users-${format}-${batch_id.slice(-12)}`

/** @param {{ batch: { id: string, config: object } }} props Shows the password that all users of a batch share, on request. */
export function SharedPassword({ batch }) {
  const [password, setPassword] = useState(/** @type {string | undefined} */ (undefined))
  const { error, run } = useAction()
  if (!('password_mode' in batch.config) || batch.config.password_mode !== 'shared') return null
  return html`<${Allowed} scope="credentials:read" what="Its password"><div>
    <${ErrorNotice} error=${error} />
    ${
      password === undefined
        ? html`<button type="button" onClick=${() => run(async () => setPassword(await readPassword(batch.id)))}>Show the password</button>`
        : html`<p>All users of this batch have this password. It is shown until you leave this view.</p>
          <${Copyable} label="Password" text=${password} />`
    }
  </div><//>`
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
