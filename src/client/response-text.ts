import { codingOf, decodeBody } from '../http/decompress.ts'
import { asPeerError, type PeerResponse } from './peer.ts'

/**
 * Yields the text of a peer's response as it arrives, decoded. Without a total limit, since only one row is in memory at a time.
 * Throws PeerError if the connection breaks, and ContentError if the body does not match its coding.
 */
export async function* answerTexts(
  { headers, body }: PeerResponse,
  onBytes: (bytes: number) => void = () => {},
): AsyncGenerator<string, void, void> {
  async function* received(): AsyncGenerator<Buffer, void, void> {
    try {
      for await (const bytes of body) {
        onBytes(bytes.length)
        yield bytes as Buffer
      }
    } catch (error) {
      throw asPeerError(error)
    }
  }
  yield* decodeBody(received(), codingOf(headers['content-encoding']?.toString()), Number.POSITIVE_INFINITY)
}
