import type { Answer } from './answer.ts'

/** NDJSON: a head line, deletions, user lines, and a last line without which the body counts as cut (api.md). */
export async function* writeNdjson(answer: Answer): AsyncGenerator<string, void, void> {
  const { kind, reason, base, state, totalCount, counts, content } = answer
  const head = { kind, ...(reason && { reason }), base, state, total_count: totalCount, counts }
  yield `${JSON.stringify(head)}\n`
  if (content.kind === 'full') {
    for await (const page of content.pages('\n')) yield `${page}\n`
  }
  if (content.kind === 'delta') {
    for await (const ids of content.delta.deletedIds()) yield `${ids.map((id) => `{"deleted":"${id}"}`).join('\n')}\n`
    for await (const lines of content.delta.addedLines()) yield `${lines.join('\n')}\n`
    for await (const lines of content.delta.updatedLines()) yield `${lines.join('\n')}\n`
  }
  const lines = counts.added + counts.updated
  yield `${JSON.stringify({ end: state, lines })}\n`
}
