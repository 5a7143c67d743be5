import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** An element in BER, of up to 65,535 bytes. */
const element = (tag: number, ...parts: Buffer[]) => {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag, 0x82, content.length >> 8, content.length & 255]), content])
}

/** The result code of a simple bind (RFC 4511 section 4.2). Waits up to 10 s for the server to listen. */
export async function bind(port: number, dn: string, password: string): Promise<number | undefined> {
  const operation = element(
    0x60,
    element(2, Buffer.from([3])), // the version
    element(4, Buffer.from(dn)),
    element(0x80, Buffer.from(password)),
  )
  for (const deadline = Date.now() + 10_000; ; await sleep(50)) {
    const socket = connect(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      socket.write(element(0x30, element(2, Buffer.from([1])), operation))
      const [answer] = (await once(socket, 'data')) as [Buffer]
      return answer[9] // sequence, message id and operation take 7 bytes, the code's head 2
    } catch (error) {
      if (Date.now() > deadline) throw error
    } finally {
      socket.destroy()
    }
  }
}
