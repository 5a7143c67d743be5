import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { json } from 'node:stream/consumers'

interface Request {
  method?: 'GET' | 'POST' | 'DELETE'
  headers?: Record<string, string>
  json?: unknown
  signal: AbortSignal
}

/**
 * A client of the service. With one keep-alive connection, requests wait for each other; otherwise each has its own.
 */
export interface Client extends Disposable {
  /** Returns the parsed body of a 2xx response. Throws if the request fails or has another status. */
  send(path: string, request: Request): Promise<unknown>
}

/** Opens a client of the service at `address`, `http://<host>:<port>`. It connects with the first request. */
export function openClient(address: string, connections: 'keep-alive' | 'new' = 'keep-alive'): Client {
  const agent = connections === 'keep-alive' ? new Agent({ keepAlive: true, maxSockets: 1 }) : new Agent()
  return {
    async send(path, { method = 'GET', headers = {}, json: body, signal }) {
      const contentType = body === undefined ? {} : { 'content-type': 'application/json' }
      const outgoing = request(new URL(path, address), {
        method,
        headers: { ...headers, ...contentType },
        agent,
        signal,
      })
      outgoing.on('error', () => {}) // `once` and the code below see it too, but not always
      outgoing.end(body === undefined ? undefined : JSON.stringify(body))
      const [incoming]: IncomingMessage[] = await once(outgoing, 'response')
      if (!incoming) throw new Error(`${method} ${path}: no response`)
      const answer = await json(incoming)
      const { statusCode = 0 } = incoming
      if (statusCode < 200 || statusCode > 299) {
        throw new Error(`${method} ${path}: status ${statusCode} ${JSON.stringify(answer).slice(0, 300)}`)
      }
      return answer
    },
    [Symbol.dispose]: () => agent.destroy(),
  }
}
