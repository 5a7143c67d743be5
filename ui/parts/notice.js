import { ApiError } from '../api.js'
import { html } from '../html.js'
import { can } from '../session.js'

/** Shows an error of the service with what finds it in the log. @param {{ error: Error | undefined }} props */
export function ErrorNotice({ error }) {
  if (error === undefined) return null
  const { title, code, requestId, fieldFaults } =
    error instanceof ApiError ? error : { title: 'The page failed', code: '', requestId: '', fieldFaults: [] }
  return html`<div class="notice danger" role="alert">
    <strong>${title}</strong>
    ${fieldFaults.length > 0 ? html`<${FaultList} faults=${fieldFaults} />` : html`<p>${error.message}</p>`}
    ${
      (code || requestId) &&
      html`<p class="muted small">
      ${code && html`Code <code>${code}</code>. `}${requestId && html`Request <code>${requestId}</code>, as in the service’s log.`}
    </p>`
    }
  </div>`
}

/** @param {{ faults: FieldFault[] }} props */
export const FaultList = ({ faults }) =>
  html`<ul>${faults.map(({ path, message }) => html`<li><code>${path}</code> ${message}</li>`)}</ul>`

/** @param {{ title: string, children?: Children }} props What to do first, where a list is empty. */
export const Empty = ({ title, children }) => html`<div class="empty"><h2>${title}</h2>${children}</div>`

/** @param {{ scope: Scope, or?: Scope, what: string, children?: Children }} props What the key allows, or that it does not. */
export const Allowed = ({ scope, or, what, children }) =>
  can(scope, or)
    ? children
    : html`<p class="notice"><strong>Not allowed.</strong> ${what} needs a key with the scope <code>${or ?? scope}</code>.</p>`

export const Loading = () => html`<p class="loading" role="status">Loading…</p>`

/** @param {{ error: Error | undefined }} props Instead of what is not read yet. */
export const Waiting = ({ error }) => (error ? html`<${ErrorNotice} error=${error} />` : html`<${Loading} />`)
