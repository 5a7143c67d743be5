import { localTime } from '../format.js'
import { html } from '../html.js'

/** @param {{ at: string | null }} props A local time, and the exact one in UTC on hover. */
export const Time = ({ at }) =>
  at === null ? html`<span class="muted">–</span>` : html`<time dateTime=${at} title=${at}>${localTime(at)}</time>`
