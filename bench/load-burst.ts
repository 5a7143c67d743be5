import { connect } from 'node:net'

/** The results of requests that were sent at once. */
export interface Burst {
  /** The number of complete responses per status. */
  statuses: Record<string, number>
  /** Requests without a complete response: the connection broke, or it did not arrive in time. */
  broken: number
  hung: number
  /** Milliseconds from the connection to the last byte of each complete response. */
  latencies: number[]
}

/** A response that takes longer counts as hung. */
const TIMEOUT_MS = 60_000

/**
 * Sends `count` requests at once, each on a new connection; `pathOf` returns the path of the nth. Uses sockets instead
 * of an HTTP client, so that the measurement takes less CPU than the service.
 */
export async function sendBurst(address: string, count: number, pathOf: (n: number) => string): Promise<Burst> {
  const { hostname, port } = new URL(address)
  const burst: Burst = { statuses: {}, broken: 0, hung: 0, latencies: [] }
  const ask = (n: number) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const begun = performance.now()
    let head = ''
    let bytes = 0
    const socket = connect(Number(port), hostname)
    socket.write(`GET ${pathOf(n)} HTTP/1.1\r\nHost: ${hostname}\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n`)
    socket.setTimeout(TIMEOUT_MS, () => {
      burst.hung++
      socket.destroy()
      resolve()
    })
    socket.on('data', (piece) => {
      bytes += piece.length
      if (head.length < 2_000) head += piece.toString('latin1')
    })
    socket.on('error', () => {}) // `close` follows
    socket.on('close', () => {
      const status = statusOf(head, bytes)
      if (status === undefined) burst.broken++
      else {
        burst.statuses[status] = (burst.statuses[status] ?? 0) + 1
        burst.latencies.push(performance.now() - begun)
      }
      resolve()
    })
    return promise
  }
  await Promise.all(Array.from({ length: count }, (_, n) => ask(n)))
  return burst
}

/** The status of a response of `bytes`, if it is complete according to its headers. */
function statusOf(head: string, bytes: number): string | undefined {
  const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(head) ?? []
  const end = head.indexOf('\r\n\r\n')
  const [, length] = /^content-length: (\d+)/im.exec(head.slice(0, end)) ?? []
  if (end < 0 || (length !== undefined && bytes !== end + 4 + Number(length))) return undefined
  return status
}
