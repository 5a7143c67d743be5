import { connect, type Socket } from 'node:net'

export interface RawResponse {
  status: number
  body: Buffer
}

/**
 * One keep-alive connection that sends one GET at a time. It only reads what caches answer: with it, one process holds thousands of
 * clients, of which fetch needs several times the CPU time.
 */
export class Connection {
  readonly #url: URL
  readonly #headers: string
  #socket: Socket | undefined
  #received = Buffer.alloc(0)
  #waiting: PromiseWithResolvers<RawResponse> | undefined

  constructor(url: URL, headers: string) {
    this.#url = url
    this.#headers = headers
  }

  /** Sends a request, on a new connection if the last one was closed. Rejects if the connection ends before the response. */
  get(path: string): Promise<RawResponse> {
    this.#waiting = Promise.withResolvers()
    this.#socket ??= this.#open()
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: ${this.#url.host}\r\n${this.#headers}\r\n`)
    return this.#waiting.promise
  }

  close(): void {
    this.#socket?.destroy()
  }

  #open(): Socket {
    const socket = connect({ host: this.#url.hostname, port: Number(this.#url.port), noDelay: true })
    socket.on('data', (bytes) => {
      this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes])
      const response = readResponse(this.#received)
      if (response === undefined) return
      this.#received = Buffer.alloc(0)
      this.#waiting?.resolve(response)
    })
    socket.on('error', () => {}) // `close` follows
    socket.on('close', () => {
      this.#socket = undefined
      this.#received = Buffer.alloc(0)
      this.#waiting?.reject(new Error('the connection was closed'))
    })
    return socket
  }
}

/** Returns a complete response, or undefined if more bytes must come. */
function readResponse(bytes: Buffer): RawResponse | undefined {
  const end = bytes.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  const head = bytes.toString('latin1', 0, end).toLowerCase()
  const status = Number(head.slice(9, 12))
  const rest = bytes.subarray(end + 4)
  if (head.includes('\r\ntransfer-encoding: chunked')) {
    const body = joinChunks(rest)
    return body && { status, body }
  }
  const length = Number(/\r\ncontent-length: (\d+)/.exec(head)?.[1] ?? 0)
  return rest.length < length ? undefined : { status, body: rest.subarray(0, length) }
}

/** Returns the body of a chunked response; undefined if the last chunk is missing. */
function joinChunks(bytes: Buffer): Buffer | undefined {
  const chunks: Buffer[] = []
  for (let at = 0; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at)
    if (lineEnd === -1) return undefined
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16)
    if (size === 0) return bytes.length < lineEnd + 4 ? undefined : Buffer.concat(chunks)
    chunks.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size))
    at = lineEnd + 2 + size + 2
    if (at > bytes.length) return undefined
  }
}
