import { html } from '../html.js'

/** @param {{ title: string, value: Children, href?: string, children?: Children }} props A figure with its name. */
export const Tile = ({ title, value, href, children }) => html`<section class="tile">
  <h2>${href ? html`<a href=${href}>${title}</a>` : title}</h2>
  <p class="value">${value}</p>
  ${children && html`<p class="muted small">${children}</p>`}
</section>`
