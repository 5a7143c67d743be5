import { connect } from 'node:net'

/** What callers got that each send the next request when they have the response to the last one. */
export interface LeaseLoad {
  leases: number
  seconds: number
  /** Milliseconds from each request to the last byte of its response. */
  latencies: number[]
  /** Responses other than 201, by status. */
  others: Record<string, number>
  /** Id and fence of each lease. */
  names: { id: string; fence: number }[]
}

/**
 * Sends `POST /v1/leases` with this body from `callers` connections for `seconds`. Uses sockets instead of an HTTP client, so that the
 * measurement takes less CPU than the service.
 */
export async function loadLeases(address: string, body: object, callers: number, seconds: number): Promise<LeaseLoad> {
  const { hostname, port } = new URL(address)
  const text = JSON.stringify(body)
  const request = Buffer.from(
    `POST /v1/leases HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
  )
  const load: LeaseLoad = { leases: 0, seconds: 0, latencies: [], others: {}, names: [] }
  const begun = performance.now()
  const end = begun + seconds * 1000

  function call(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    let head = ''
    let left = 0
    let sentAt = 0
    const send = () => {
      if (performance.now() >= end) return socket.end(resolve)
      head = ''
      sentAt = performance.now()
      socket.write(request)
    }
    socket.on('connect', send)
    socket.on('error', reject)
    socket.on('data', (piece) => {
      if (head === '') {
        head = piece.toString('latin1', 0, 2_000)
        const [, length = '0'] = /^content-length: (\d+)/im.exec(head) ?? []
        left = Number(length) + head.indexOf('\r\n\r\n') + 4
      }
      left -= piece.length
      if (left > 0) return
      take(head, performance.now() - sentAt)
      send()
    })
    return promise
  }

  function take(head: string, milliseconds: number): void {
    const status = head.slice(9, 12)
    if (status !== '201') {
      load.others[status] = (load.others[status] ?? 0) + 1
      return
    }
    const [, id = '', fence = ''] = /\{"id":"([^"]+)","fence":(\d+)/.exec(head) ?? []
    load.leases++
    load.names.push({ id, fence: Number(fence) })
    load.latencies.push(milliseconds)
  }

  await Promise.all(Array.from({ length: callers }, call))
  load.seconds = (performance.now() - begun) / 1000
  return load
}
