import { connect, type Socket } from 'node:net'
import { keepAnswer } from '../run-record.ts'

/** The responses to some bytes, in order, and whether the service closed the connection. */
export interface Exchange {
  answers: RawAnswer[]
  /** What follows the last complete response; empty if there is nothing else. */
  rest: string
  closed: boolean
}

export interface RawAnswer {
  status: number
  /** By lower-case name. Repeated headers are joined by commas. */
  headers: Record<string, string>
  body: string
}

/** How long the service may send nothing. */
const SILENCE_MS = 20_000

/** Writes each piece separately and reads until the service closes the connection, as after `connection: close`. */
export async function exchange(port: number, pieces: (string | Buffer)[]): Promise<Exchange> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  let received = ''
  socket.on('data', (bytes: Buffer) => {
    received += bytes.toString('latin1')
  })
  const closed = new Promise<boolean>((resolve) => {
    for (const event of ['end', 'close']) socket.on(event, () => resolve(true))
    socket.setTimeout(SILENCE_MS, () => resolve(false))
  })
  for (const piece of pieces) await write(socket, piece)
  const isClosed = await closed
  socket.destroy()
  return { ...answersIn(received), closed: isClosed }
}

const write = (socket: Socket, piece: string | Buffer) =>
  new Promise<void>((resolve) => {
    if (socket.destroyed) resolve()
    else socket.write(piece, 'latin1' as never, () => resolve())
    socket.once('close', () => resolve())
  })

function answersIn(text: string): { answers: RawAnswer[]; rest: string } {
  const answers: RawAnswer[] = []
  for (let rest = text; ; ) {
    const [, status, head = ''] = /^HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n([\s\S]*?)\r\n\r\n/.exec(rest) ?? []
    if (status === undefined) return { answers, rest }
    const lines = head.split('\r\n').map((line) => /^([^:]+): ?(.*)$/.exec(line) ?? [])
    const headers: Record<string, string> = {}
    for (const [, name = '', value = ''] of lines) {
      const key = name.toLowerCase()
      headers[key] = headers[key] === undefined ? value : `${headers[key]}, ${value}`
    }
    const start = rest.indexOf('\r\n\r\n') + 4
    const length = Number(headers['content-length'] ?? 0)
    const body = rest.slice(start, start + length)
    keepAnswer(Number(status), headers, body)
    answers.push({ status: Number(status), headers, body })
    rest = rest.slice(start + length)
  }
}
