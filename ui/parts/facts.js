import { localTime, number, shortId, words } from '../format.js'
import { html } from '../html.js'
import { link, route } from '../route.js'
import { useStore } from '../store.js'

/** @param {{ facts: (readonly [string, Children] | false | undefined)[] }} props Names and values of one thing. */
export const Facts = ({ facts }) =>
  html`<dl class="facts">${facts.map((fact) => fact && html`<div><dt>${fact[0]}</dt><dd>${fact[1]}</dd></div>`)}</dl>`

/** @param {{ label: string, value: unknown }} props */
export const Json = ({ label, value }) =>
  html`<pre tabindex="0" role="region" aria-label=${label}><code>${JSON.stringify(value, null, 2)}</code></pre>`

/** @param {{ view: string, title: string, name: string }} props The way from one thing back to its list. */
export const Path = ({ view, title, name }) =>
  html`<nav aria-label="Path" class="path"><a href=${link([view])}>${title}</a> / ${name}</nav>`

/** @param {{ id: string, label?: string | null }} props A batch by its label or, without one, the end of its id. */
export const BatchLink = ({ id, label }) =>
  html`<a href=${link(['batches', id])} title=${id}>${label || shortId(id)}</a>`

/** @param {{ label: string, param: string, options: (Option & { count?: number | undefined })[] }} props The choices of a parameter of the view, as links. */
export function Tabs({ label, param, options }) {
  const { path, params } = useStore(route)
  return html`<nav class="tabs" aria-label=${label}>
    ${options.map(({ value, text, count }) => html`<a href=${link(path, { [param]: value })} aria-current=${value === (params[param] ?? '') ? 'true' : undefined}>${text}${count !== undefined && html` <span class="count">${number(count)}</span>`}</a>`)}
  </nav>`
}

/** @param {{ title: string, value: Children, href?: string, children?: Children }} props A figure with its name. */
export const Tile = ({ title, value, href, children }) => html`<section class="tile">
  <h2>${href ? html`<a href=${href}>${title}</a>` : title}</h2>
  <p class="value">${value}</p>
  ${children && html`<p class="muted small">${children}</p>`}
</section>`

/** @param {{ at: string | null }} props A local time, and the exact one in UTC on hover. */
export const Time = ({ at }) =>
  at === null ? html`<span class="muted">–</span>` : html`<time dateTime=${at} title=${at}>${localTime(at)}</time>`

/** Each tone has its own sign, so that a status is readable without colour. */
const SIGNS = { good: '✓', bad: '✕', warn: '!', busy: '●', idle: '○' }

/** @type {Record<string, keyof typeof SIGNS>} */
const TONES = {
  ...{ completed: 'good', succeeded: 'good', in_step: 'good', ready: 'good', free: 'good', returned: 'good' },
  ...{ running: 'busy', active: 'busy', leased: 'busy' },
  ...{ failed: 'bad', not_ready: 'bad', forced: 'bad' },
  ...{ completed_with_failures: 'warn', not_in_step: 'warn', dirty: 'warn', expired: 'warn', abandoned: 'warn' },
}

/** @param {{ status: string, children?: Children }} props */
export function Badge({ status, children }) {
  const tone = TONES[status] ?? 'idle'
  return html`<span class=${`badge ${tone}`}><span aria-hidden="true">${SIGNS[tone]}</span> ${children ?? words(status)}</span>`
}
