import { requireRowLength } from './row-limit.ts'

const LINE_FEED = 10
const QUOTE = 34

/**
 * Lets CSV text pass as long as its rows are no longer than a row may be. csv-parse has a bound of its own, which counts no
 * commas: a row of nothing else would fill the memory. Throws `body_too_large`.
 */
export async function* meterRows(texts: AsyncIterable<string>): AsyncGenerator<string, void, void> {
  let inQuotes = false
  let length = 0
  for await (const text of texts) {
    for (let i = 0; i < text.length; i++) {
      const char = text.charCodeAt(i)
      length++
      if (char === QUOTE) inQuotes = !inQuotes // a doubled one is two turns
      if (char === LINE_FEED && !inQuotes) {
        requireRowLength(length - 1)
        length = 0
      }
    }
    requireRowLength(length)
    yield text
  }
}
