import { isState } from './state.ts'
import { LineCutter } from './text.ts'

/** The first line of an NDJSON export. */
export interface ExportHead {
  kind: 'full' | 'delta' | 'unchanged'
  reason?: string
  base: string | null
  state: string
  total_count: number
  counts: { added: number; updated: number; deleted: number }
}

/** A deletion, or a user with its line: exactly the text that is hashed, unless it contains credentials. */
export type ExportRow = { deleted: string } | { id: string; line: string }

/**
 * What is wrong with an export: it ended before its last line, it is not an export, its base is not the current state, or its
 * users do not match the state that it names.
 */
export type ExportFault = 'cut' | 'malformed' | 'other_base' | 'wrong_sum'

/** Thrown if an export cannot be used. The caller keeps what it had before. */
export class ExportError extends Error {
  override name = 'ExportError'
  readonly fault: ExportFault

  constructor(fault: ExportFault, message: string) {
    super(message)
    this.fault = fault
  }
}

const DELETION = /^\{"deleted":"([^"\\]+)"\}$/
const USER = /^\{"id":"([^"\\]+)",.*\}$/s
const KINDS = ['full', 'delta', 'unchanged']

/**
 * Reads an NDJSON export (docs/states-and-deltas.md) as it arrives: its head, then pages of rows. Memory holds one page. The pages
 * end without an error only if the last line arrived and its count of user lines is right; otherwise the caller must discard what it
 * read. The caller checks that the rows match the state. Throws ExportError `cut` or `malformed`.
 */
export async function readExport(
  texts: AsyncIterable<string>,
): Promise<{ head: ExportHead; pages: AsyncGenerator<ExportRow[], void, void> }> {
  const parts = linesOf(texts)
  const first = await parts.next()
  const [headLine = '', ...others] = first.done ? [] : first.value
  const head = readHead(headLine)
  return { head, pages: pagesOf(head, others, parts) }
}

/** Yields complete lines, in groups that are never empty. Throws ExportError if the last line has no line end. */
async function* linesOf(texts: AsyncIterable<string>): AsyncGenerator<string[], void, void> {
  const cutter = new LineCutter()
  for await (const text of texts) {
    const lines = cutter.push(text)
    if (lines.length > 0) yield lines
  }
  if (cutter.end() !== '') throw cut()
}

async function* pagesOf(
  head: ExportHead,
  begun: string[],
  parts: AsyncGenerator<string[], void, void>,
): AsyncGenerator<ExportRow[], void, void> {
  let users = 0
  let ended = false
  const read = (lines: string[]) => {
    const page: ExportRow[] = []
    for (const line of lines) {
      if (ended) throw malformed()
      const row = readRow(line)
      if (row === undefined) {
        requireEnd(line, head, users)
        ended = true
      } else {
        if ('id' in row) users++
        page.push(row)
      }
    }
    return page
  }
  const first = read(begun)
  if (first.length > 0) yield first
  for await (const lines of parts) {
    const page = read(lines)
    if (page.length > 0) yield page
  }
  if (!ended) throw cut()
}

function readHead(line: string): ExportHead {
  if (line === '') throw cut()
  const head = parse(line) as Partial<ExportHead>
  const { kind = '', base, state, total_count: total } = head
  const isHead = KINDS.includes(kind) && typeof state === 'string' && isState(state) && Number.isSafeInteger(total)
  if (!isHead || (kind === 'full') !== (base === null)) throw malformed()
  return head as ExportHead
}

/** Returns the row of a line. Undefined if it is neither a deletion nor a user. */
function readRow(line: string): ExportRow | undefined {
  const [, id] = USER.exec(line) ?? []
  if (id !== undefined) return { id, line }
  const [, deleted] = DELETION.exec(line) ?? []
  return deleted === undefined ? undefined : { deleted }
}

function requireEnd(line: string, head: ExportHead, users: number): void {
  const { end, lines } = parse(line) as { end?: string; lines?: number }
  if (end !== head.state) throw malformed()
  if (lines !== users) throw new ExportError('cut', 'the number of user lines differs from the count in the last line')
}

/** Returns the object of a line. */
function parse(line: string): object {
  try {
    const value: unknown = JSON.parse(line)
    if (value !== null && typeof value === 'object') return value
  } catch {
    // reported below, like every other invalid line
  }
  throw malformed()
}

const cut = () => new ExportError('cut', 'the export was cut before its last line')
const malformed = () => new ExportError('malformed', 'this is not an NDJSON export')
