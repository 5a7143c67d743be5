import type { Text } from '../protocol/text.ts'
import type { Answer } from './answer.ts'

/** What the JSON form contains besides the export itself. */
export interface JsonContext {
  /** The filter as the client requested it. */
  filters: Record<string, unknown>
  /** RFC 3339. Undefined: left out. */
  exportTimestamp: string | undefined
}

/** JSON: one object, with `users` for a full export, and `added`, `updated`, `deleted` for the others (docs/states-and-deltas.md). */
export async function* writeJson(answer: Answer, { filters, exportTimestamp }: JsonContext): Text {
  const { kind, reason, base, state, totalCount, counts, content } = answer
  const head = {
    kind,
    reason,
    base,
    state,
    total_count: totalCount,
    counts,
    filters,
    export_timestamp: exportTimestamp,
    source_system: 'usersync',
  }
  yield JSON.stringify(head).slice(0, -1)
  if (content.kind === 'full') {
    yield* jsonArray('users', content.pages(','))
  } else if (content.kind === 'delta') {
    yield* jsonArray('added', joined(content.delta.addedLines()))
    yield* jsonArray('updated', joined(content.delta.updatedLines()))
    yield* jsonArray(
      'deleted',
      joined(content.delta.deletedIds(), (id) => `"${id}"`),
    )
  } else {
    yield ',"added":[],"updated":[],"deleted":[]'
  }
  yield '}\n'
}

async function* joined(parts: AsyncGenerator<string[], void, void>, write = (text: string) => text) {
  let separator = ''
  for await (const part of parts) {
    yield separator + part.map(write).join(',')
    separator = ','
  }
}

async function* jsonArray(member: string, elements: Text) {
  yield `,"${member}":[`
  yield* elements
  yield ']'
}
