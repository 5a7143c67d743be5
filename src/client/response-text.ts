import { Problem } from '../errors.ts'
import { codingOf, decodeBody } from '../http/decompress.ts'
import { ExportError } from '../protocol/read-export.ts'
import { asPeerError, PeerError, type PeerResponse } from './peer.ts'

/**
 * Yields the text of a peer's response as it arrives, decoded. Without a total limit, since only one row is in memory at a time.
 * Throws PeerError if the connection breaks, and ExportError `malformed` if the body does not match its coding.
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
  try {
    const coding = codingOf(headers['content-encoding']?.toString())
    yield* decodeBody(received(), coding, Number.POSITIVE_INFINITY)
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    // A body that cannot be decoded may have been cut. Then the broken connection is the cause.
    throw error.cause instanceof PeerError ? error.cause : new ExportError('malformed', error.message)
  }
}
