import { ExportError, type ExportHead } from '../../src/protocol/read-export.ts'
import { stateOf } from '../../src/protocol/state.ts'

/** What a client has: the user lines by id, and their state. */
export interface Held {
  state: string | undefined
  lines: Map<string, string>
}

/** Applies an NDJSON export, full or delta, to what the client has, and checks the resulting state. Throws ExportError. */
export function applyExport(held: Held, body: string): { head: ExportHead; held: Held } {
  const rows = body.split('\n')
  if (rows.pop() !== '' || rows.length < 2) throw new ExportError('cut', 'the export was cut before its last line')
  const head = readRow<ExportHead>(rows[0])
  const end = readRow<{ end?: string; lines?: number }>(rows.at(-1))
  if (end.end !== head.state) throw new ExportError('cut', 'the export was cut before its last line')
  if (head.kind !== 'full' && head.base !== held.state)
    throw new ExportError('other_base', 'the delta is for another base')

  const lines = new Map(head.kind === 'full' ? [] : held.lines)
  let count = 0
  for (const row of rows.slice(1, -1)) {
    const user = readRow<{ id?: string; deleted?: string }>(row)
    if (user.id === undefined) {
      lines.delete(user.deleted ?? '')
    } else {
      lines.set(user.id, row)
      count++
    }
  }
  if (count !== end.lines)
    throw new ExportError('cut', 'the number of user lines differs from the count in the last line')
  if (lines.size !== head.total_count || stateOf(lines.values()) !== head.state) {
    throw new ExportError('wrong_sum', 'the users do not match the state that the export names')
  }
  return { head, held: { state: head.state, lines } }
}

/** Returns the object of a line. Throws ExportError if the line is not a JSON object. */
function readRow<Row extends object>(text = ''): Row {
  try {
    const row: unknown = JSON.parse(text)
    if (row !== null && typeof row === 'object') return row as Row
  } catch {
    // reported below, like every other invalid line
  }
  throw new ExportError('malformed', 'this is not an NDJSON export')
}
