import { html, render } from './html.js'
import { Shell } from './shell.js'

const page = document.getElementById('page')
if (page) {
  page.textContent = ''
  render(html`<${Shell} />`, page)
}
