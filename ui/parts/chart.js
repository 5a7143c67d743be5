import { localTime, number } from '../format.js'
import { html } from '../html.js'
import { Table } from './table.js'

const WIDTH = 360
const HEIGHT = 90

const SAMPLES = 36

/** Adds a sample, and forgets those that no chart shows. @param {Sample[]} samples @param {number[]} values */
export function addSample(samples, values) {
  samples.push({ at: Date.now(), values })
  if (samples.length > SAMPLES) samples.shift()
}

/**
 * Bars over time, oldest first. Several series are stacked, and differ by their pattern. A table has the numbers, too.
 *
 * @param {{ title: string, names: string[], samples: Sample[] }} props A sample has a value for each name.
 */
export function Chart({ title, names, samples }) {
  const top = Math.max(1, ...samples.map(({ values }) => values.reduce((sum, value) => sum + value, 0)))
  const step = WIDTH / SAMPLES
  const time = (/** @type {Sample | undefined} */ sample) => sample && localTime(sample.at)
  /** The last series is solid, the one before it striped, a third one empty. */
  const pattern = (/** @type {number} */ place) => ['empty', 'striped', 'solid'].at(place - names.length)
  const columns = names.map((title, place) => ({
    title,
    isNumber: true,
    cell: (/** @type {Sample} */ { values }) => number(values[place] ?? 0),
  }))
  return html`<figure class="chart">
    <figcaption>
      ${title}
      ${names.map((name, place) => html`<span><svg viewBox="0 0 12 12" aria-hidden="true"><rect class=${pattern(place)} width="12" height="12" /></svg> ${name} <strong class="number">${number(samples.at(-1)?.values[place] ?? 0)}</strong></span>`)}
    </figcaption>
    <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${`${title}: at most ${number(top)}`}>
      ${names.length > 1 && html`<pattern id="stripes" width="6" height="6" patternUnits="userSpaceOnUse"><path d="M0 6L6 0" /></pattern>`}
      ${samples.map(({ values }, index) => {
        let y = HEIGHT
        return values.map((value, place) => {
          const height = (value / top) * HEIGHT
          y -= height
          return html`<rect class=${pattern(place)} x=${WIDTH - (samples.length - index) * step} y=${y} width=${step - 2} height=${height} />`
        })
      })}
    </svg>
    <p class="axis muted small">${samples.length > 0 ? html`<span>${time(samples[0])}</span> <span>top ${number(top)}</span> <span>${time(samples.at(-1))}</span>` : 'Nothing measured yet'}</p>
    <details><summary>As a table</summary>
      <${Table} caption=${title} columns=${[{ title: 'At', cell: time }, ...columns]} items=${samples.toReversed()} id="at" />
    </details>
  </figure>`
}
