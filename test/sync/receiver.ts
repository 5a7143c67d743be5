import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { zstdDecompressSync } from 'node:zlib'
import { ExportError } from '../../src/protocol/read-export.ts'
import { EMPTY_STATE } from '../../src/protocol/state.ts'
import { applyExport, type Held } from '../export/apply-export.ts'

interface Test {
  teardown(fn: () => void): void
}

/** What a receiver may do instead of its work. */
export type Misbehaviour = (request: IncomingMessage, response: ServerResponse) => 'done' | 'go on'

/** A receiver that keeps its users in memory: the contract of `PUT /v1/replica/users`, implemented independently. */
export interface Receiver {
  url: string
  held: Held
  /** The kind and encoding of each export it received, or its fault. */
  seen: string[]
  misbehave: Misbehaviour
}

export const RECEIVER_KEY = 'receiver-s3cret-of-32-characters'

export async function startReceiver(t: Test): Promise<Receiver> {
  const receiver: Receiver = {
    url: '',
    held: { state: EMPTY_STATE, lines: new Map() },
    seen: [],
    misbehave: () => 'go on',
  }
  const server = createServer((request, response) => {
    if (receiver.misbehave(request, response) === 'done') return
    void take(receiver, request).then(({ status, answer }) => {
      response.writeHead(status, { 'content-type': status === 200 ? 'application/json' : 'application/problem+json' })
      response.end(JSON.stringify(answer))
    })
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return Object.assign(receiver, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}

async function take(receiver: Receiver, request: IncomingMessage) {
  if (request.headers.authorization !== `Bearer ${RECEIVER_KEY}`)
    return { status: 401, answer: { code: 'unauthorized' } }
  const sent = await buffer(request)
  const coding = request.headers['content-encoding'] ?? 'identity'
  const body = (coding === 'zstd' ? zstdDecompressSync(sent) : sent).toString()
  try {
    const { head, held } = applyExport(receiver.held, body)
    const counts = changesOf(receiver.held, held)
    receiver.held = held
    receiver.seen.push(`${head.kind} ${coding}`)
    return { status: 200, answer: { kind: head.kind, state: head.state, total_count: held.lines.size, counts } }
  } catch (error) {
    if (!(error instanceof ExportError)) throw error
    receiver.seen.push(error.fault)
    if (error.fault === 'other_base')
      return { status: 409, answer: { code: 'base_mismatch', state: receiver.held.state } }
    return { status: 422, answer: { code: error.fault === 'wrong_sum' ? 'state_mismatch' : 'export_invalid' } }
  }
}

/** What an export has changed: users that are the same as before do not count. */
function changesOf({ lines: before }: Held, { lines: after }: Held) {
  const added = [...after.keys()].filter((id) => !before.has(id)).length
  const updated = [...after].filter(([id, line]) => before.has(id) && before.get(id) !== line).length
  return { added, updated, deleted: before.size + added - after.size }
}
