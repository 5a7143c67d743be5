import { type Agent, type IncomingHttpHeaders, request } from 'node:http'
import { keepAnswer } from '../run-record.ts'
import type { FuzzedRequest } from './fuzzed-request.ts'

export interface TimedAnswer {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  ms: number
}

/** Sends a request unchanged. Rejects if there is no complete response within 20 s. */
export function send(
  agent: Agent,
  url: string,
  { method, target, headers, body }: FuzzedRequest,
): Promise<TimedAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<TimedAnswer>()
  const began = performance.now()
  const { hostname, port } = new URL(url)
  // Node's client would send the body of a GET without a length, as if it were the next request.
  const framed = body ? { ...headers, 'content-length': body.length } : headers
  const sent = request({
    agent,
    hostname,
    port,
    method,
    path: target,
    headers: framed,
    signal: AbortSignal.timeout(20_000),
  })
  sent.on('error', reject)
  sent.on('response', (response) => {
    const chunks: Buffer[] = []
    const done = () => {
      const { statusCode: status = 0, headers } = response
      const body = Buffer.concat(chunks)
      keepAnswer(status, headers, body)
      resolve({ status, headers, body, ms: performance.now() - began })
    }
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      if (response.headers['content-type'] !== 'text/event-stream') return
      done() // the stream ends only with the batch
      response.destroy()
    })
    response.on('error', reject)
    response.on('end', done)
  })
  sent.end(body)
  return promise
}
