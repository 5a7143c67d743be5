import { words } from '../format.js'
import { html } from '../html.js'

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
