import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'

/** A request on its way to the target. Members may be changed. */
export interface Passing {
  method: string
  path: string
  body: string
}

/** What happens to a request instead of or besides being passed on. */
export interface Mishap {
  /** Answered without the target. */
  answer?: { status: number; headers?: Record<string, string>; body?: string }
  /** The connection breaks before or after the target has seen the request. */
  cut?: 'before' | 'after'
  /** The answer comes this much later. */
  delayMs?: number
}

export interface Unreliable {
  url: string
  /** Decides about each request, by its number from 1. Undefined: it is passed on. */
  mishap: (request: Passing, n: number) => Mishap | undefined
  requests: Passing[]
}

/** An HTTP proxy in front of a target, on which requests meet mishaps. */
export async function startUnreliable(t: Test, target: string): Promise<Unreliable> {
  const { origin, pathname } = new URL(target)
  const proxy: Unreliable = { url: '', mishap: () => undefined, requests: [] }
  const server = createServer(async (incoming, response) => {
    const { method = '', url: path = '' } = incoming
    const passing = { method, path, body: (await buffer(incoming)).toString() }
    const { answer, cut, delayMs = 0 } = proxy.mishap(passing, proxy.requests.push(passing)) ?? {}
    await sleep(delayMs)
    if (cut === 'before') return response.destroy()
    if (answer) return response.writeHead(answer.status, answer.headers).end(answer.body)
    const { status, headers, body } = await pass(origin, incoming, passing)
    if (cut === 'after') return response.destroy()
    return response.writeHead(status, headers).end(body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  proxy.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${pathname}`
  return proxy
}

async function pass(origin: string, { headers }: IncomingMessage, { method, path, body }: Passing) {
  const outgoing = request(origin + path, {
    method,
    headers: { ...headers, 'content-length': String(Buffer.byteLength(body)) },
  })
  outgoing.end(body)
  try {
    const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
    return { status: incoming.statusCode ?? 500, headers: incoming.headers, body: await buffer(incoming) }
  } catch {
    return { status: 502, headers: {}, body: Buffer.from('') }
  }
}
