import type { Text } from '../protocol/text.ts'
import type { Answer } from './answer.ts'

/** NDJSON: a head line, deletions, user lines, and a last line. A body without the last line is truncated (docs/states-and-deltas.md). */
export async function* writeNdjson(answer: Answer): Text {
  const { content } = answer
  yield headLine(answer)
  if (content.kind === 'full') {
    yield* content.pages('\n')
    if (answer.counts.added > 0) yield '\n'
  }
  if (content.kind === 'delta') {
    for await (const ids of content.delta.deletedIds()) yield `${ids.map((id) => `{"deleted":"${id}"}`).join('\n')}\n`
    for await (const lines of content.delta.addedLines()) yield `${lines.join('\n')}\n`
    for await (const lines of content.delta.updatedLines()) yield `${lines.join('\n')}\n`
  }
  yield endLine(answer)
}

/** The head line, with its line end. */
export function headLine({ kind, reason, base, state, totalCount, counts }: Answer): string {
  const head = { kind, ...(reason && { reason }), base, state, total_count: totalCount, counts }
  return `${JSON.stringify(head)}\n`
}

/** The last line, with its line end. */
export function endLine({ state, counts }: Answer): string {
  return `${JSON.stringify({ end: state, lines: counts.added + counts.updated })}\n`
}
