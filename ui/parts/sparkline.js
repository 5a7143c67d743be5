import { number } from '../format.js'
import { html } from '../html.js'

const WIDTH = 240
const HEIGHT = 48

/**
 * A line of values, oldest first, from 0 to the largest. The text beside it says what it shows to those who do not see it.
 *
 * @param {{ values: number[], label: string }} props
 */
export function Sparkline({ values, label }) {
  const top = Math.max(1, ...values)
  const points = values.map((value, index) => [
    (index * WIDTH) / Math.max(1, values.length - 1),
    HEIGHT - 2 - (value / top) * (HEIGHT - 6),
  ])
  const line = points.map(([x = 0, y = 0]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ')
  const name = `${label}: now ${number(values.at(-1) ?? 0)}, largest ${number(Math.max(0, ...values))}`
  return html`<svg class="sparkline" role="img" aria-label=${name} viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none">
    ${
      points.length > 1 &&
      html`<polygon class="area" points=${`0,${HEIGHT} ${line} ${WIDTH},${HEIGHT}`} />
      <polyline class="line" points=${line} />`
    }
  </svg>`
}
