import { localTime, words } from '../format.js'
import { html } from '../html.js'
import { link } from '../route.js'

/** @param {{ facts: (readonly [string, Children] | false | undefined)[] }} props Names and values of one thing. */
export const Facts = ({ facts }) =>
  html`<dl class="facts">${facts.map((fact) => fact && html`<div><dt>${fact[0]}</dt><dd>${fact[1]}</dd></div>`)}</dl>`

/** @param {{ label: string, value: unknown }} props */
export const Json = ({ label, value }) =>
  html`<pre tabindex="0" role="region" aria-label=${label}><code>${JSON.stringify(value, null, 2)}</code></pre>`

/** @param {{ view: string, title: string, name: string }} props The way from one thing back to its list. */
export const Path = ({ view, title, name }) =>
  html`<nav aria-label="Path" class="path"><a href=${link([view])}>${title}</a> / ${name}</nav>`

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
