import { ElementCutter, invalidJson } from './elements.ts'
import { type GivenRow, givenRow } from './given-row.ts'

/**
 * The rows of a JSON body, an array of users or a full export. What is cut between two commas and is no JSON shows that the
 * body is none, so it is refused as a whole (`invalid_json`). Throws what ElementCutter throws.
 */
export async function* readJson(texts: AsyncIterable<string>): AsyncGenerator<GivenRow[], void, void> {
  const cutter = new ElementCutter()
  let count = 0
  for await (const text of texts) {
    const rows = cutter.push(text).map(givenRow)
    const bad = rows.findIndex(({ value }) => value === undefined)
    if (bad >= 0) throw invalidJson(`Row ${count + bad + 1} could not be read as JSON.`)
    count += rows.length
    yield rows
  }
  cutter.end()
}
