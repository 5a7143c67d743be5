import { EventEmitter, once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Stands in for the system under test. It answers every request and records the user in `?username=`. */
export interface Recorder {
  url: string
  port: number
  /** The number of requests of each user since the last call. */
  take(): Seen
  /** Resolves when this many users have been seen since the last `take`. */
  sees(users: number): Promise<void>
  close(): Promise<void>
}

export interface Seen {
  requests: Map<string, number>
  /** Users that had two open requests at the same time. */
  doubled: Set<string>
}

/** Long enough to notice two concurrent requests with the same user. */
const ANSWER_MS = 20

const nothing = (): Seen => ({ requests: new Map(), doubled: new Set() })

export async function startRecorder(): Promise<Recorder> {
  let seen = nothing()
  const open = new Set<string>()
  const arrivals = new EventEmitter()
  const server = createServer(async ({ url = '' }, response) => {
    const username = new URL(url, 'http://recorder').searchParams.get('username') ?? '(none)'
    seen.requests.set(username, (seen.requests.get(username) ?? 0) + 1)
    arrivals.emit('user')
    if (open.has(username)) seen.doubled.add(username)
    open.add(username)
    await sleep(ANSWER_MS)
    open.delete(username)
    response.end('hello')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    take() {
      const taken = seen
      seen = nothing()
      return taken
    },
    async sees(users) {
      while (seen.requests.size < users) await once(arrivals, 'user')
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}
