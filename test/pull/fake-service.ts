import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { stateOf } from '../../src/protocol/state.ts'

/** A user line with this number in its id. */
export const lineOf = (n: number, role = 'user') =>
  `{"id":"${String(n).padStart(8, '0')}-0000-7000-8000-000000000000","username":"u${n}","email":"u${n}@example.com",` +
  `"role":"${role}","is_test_user":true,"batch_id":null,"created_by_bulk":false,"custom_attributes":{},` +
  `"created_at":"2026-01-02T03:04:05.000000Z","updated_at":"2026-01-02T03:04:05.000000Z"}`

export interface ExportContent {
  /** The state that the delta starts from; undefined: a full export. */
  base?: string
  rows: string[]
  state: string
  total: number
  counts?: { added: number; updated: number; deleted: number }
}

/** An NDJSON export. */
export function exportOf({ base, rows, state, total, counts }: ExportContent): string {
  const lines = rows.filter((row) => row.startsWith('{"id"')).length
  const head = {
    kind: base === undefined ? 'full' : 'delta',
    base: base ?? null,
    state,
    total_count: total,
    counts: counts ?? { added: lines, updated: 0, deleted: rows.length - lines },
  }
  return [JSON.stringify(head), ...rows, JSON.stringify({ end: state, lines })].map((line) => `${line}\n`).join('')
}

/** The full export of these lines. */
export const fullOf = (lines: string[]) => exportOf({ rows: lines, state: stateOf(lines), total: lines.length })

/** A server in place of a service, until `t` ends. Returns its URL. */
export async function fakeService(
  t: Pick<Test, 'teardown'>,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(answer)
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Like `fakeService`, but answers look-ups of the state as a service without addresses: `answer` gets what follows. */
export const fakeExports: typeof fakeService = (t, answer) =>
  fakeService(t, (request, response) => {
    if (request.url?.startsWith('/v1/states/current')) response.end('{}')
    else answer(request, response)
  })
