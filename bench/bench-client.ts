import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { json } from 'node:stream/consumers'

interface Request {
  method?: 'GET' | 'POST' | 'DELETE'
  headers?: Record<string, string>
  json?: unknown
  signal: AbortSignal
}

/** A client of the service. Over one connection, kept open, requests wait for one another; else each has its own. */
export interface Client extends Disposable {
  /** Gives the body of a 2xx answer, read as JSON. Throws where the request fails or the answer is another. */
  send(path: string, request: Request): Promise<unknown>
}

/** A client of the service at `address`, `http://<host>:<port>`; it connects with the first request. */
export function openClient(address: string, connections: 'kept' | 'anew' = 'kept'): Client {
  const agent = connections === 'kept' ? new Agent({ keepAlive: true, maxSockets: 1 }) : new Agent()
  return {
    async send(path, { method = 'GET', headers = {}, json: body, signal }) {
      const contentType = body === undefined ? {} : { 'content-type': 'application/json' }
      const outgoing = request(new URL(path, address), {
        method,
        headers: { ...headers, ...contentType },
        agent,
        signal,
      })
      outgoing.on('error', () => {}) // `once` and the reading below see it too, but not at every moment
      outgoing.end(body === undefined ? undefined : JSON.stringify(body))
      const [incoming]: IncomingMessage[] = await once(outgoing, 'response')
      if (!incoming) throw new Error(`${method} ${path} was not answered`)
      const answer = await json(incoming)
      const { statusCode = 0 } = incoming
      if (statusCode < 200 || statusCode > 299) {
        throw new Error(`${method} ${path} was answered ${statusCode} ${JSON.stringify(answer).slice(0, 300)}`)
      }
      return answer
    },
    [Symbol.dispose]: () => agent.destroy(),
  }
}
