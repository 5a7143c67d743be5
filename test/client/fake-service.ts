import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

interface Test {
  teardown(fn: () => Promise<void>): void
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void

/** A server that answers each request with the next handler, and repeats the last one. `requests` has what came. */
export async function fakeService(t: Test, ...handlers: Handler[]) {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    requests.push(request)
    request.resume()
    handlers[Math.min(requests.length, handlers.length) - 1]?.(request, response)
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => void server.close(resolve))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}

/** Answers with JSON, a problem if `body` has a code. */
export function json(status: number, body: object, headers: Record<string, string> = {}): Handler {
  const problem = 'code' in body && { type: `urn:usersync:problem:${body.code}`, title: 't', detail: 'd', status }
  const type = problem ? 'application/problem+json' : 'application/json'
  return (_request, response) => {
    response.writeHead(status, { 'content-type': type, ...headers }).end(JSON.stringify({ ...problem, ...body }))
  }
}

/** Answers with a text of another kind, as a proxy or another service does. */
export const html =
  (status: number, text = '<html>'): Handler =>
  (_request, response) =>
    void response.writeHead(status, { 'content-type': 'text/html' }).end(text)

/** Closes the connection without an answer. */
export const hangUp: Handler = (request) => void request.socket.destroy()

/** Never answers. */
export const silence: Handler = () => {}
