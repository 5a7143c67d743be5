import { Problem } from '../errors.ts'
import { LineCutter } from '../protocol/text.ts'
import { notFull } from './read-json.ts'
import { type GivenRow, givenRow } from './row.ts'

const cut = (detail: string) => new Problem('import_cut', detail)

/**
 * Reads the rows of an NDJSON body: user lines, or a full export with its head line and last line. If the head line is
 * present, the matching last line is required. Throws `import_cut`, `import_not_full` for a delta, and ContentError.
 */
export async function* readNdjson(texts: AsyncIterable<string>): AsyncGenerator<GivenRow[], void, void> {
  const cutter = new LineCutter()
  const frame = new ExportFrame()
  for await (const text of texts) yield userRows(cutter.push(text), frame)
  yield userRows([cutter.end()], frame)
  frame.end()
}

const userRows = (lines: string[], frame: ExportFrame) =>
  lines
    .filter((line) => line.trim() !== '')
    .map(givenRow)
    .filter(({ value }) => frame.isUser(value))

/** Checks the head line and last line of an export. */
class ExportFrame {
  #head: Record<string, unknown> | undefined
  #ended = false
  #rows = 0
  #isFirst = true

  /** Whether a line is a user, and not the head or last line. */
  isUser(line: unknown): boolean {
    const isFirst = this.#isFirst
    this.#isFirst = false
    if (this.#ended) throw cut('The body has lines after the last line of the export.')
    if (isFirst && has(line, 'kind')) {
      if (line.kind !== 'full') throw notFull()
      this.#head = line
      return false
    }
    if (!has(line, 'end')) {
      this.#rows++
      return true
    }
    if (!this.#head) throw cut('The body has the last line of an export, but not its head line.')
    const { end, lines } = line as { end: unknown; lines?: unknown }
    if (end !== this.#head['state'] || lines !== this.#rows) throw cut('The last line belongs to another export.')
    this.#ended = true
    return false
  }

  end(): void {
    if (this.#head && !this.#ended)
      throw cut('The body has the head line of an export, but not its last line. Send the whole export.')
  }
}

const has = <Name extends string>(line: unknown, name: Name): line is Record<Name, unknown> =>
  typeof line === 'object' && line !== null && Object.hasOwn(line, name)
