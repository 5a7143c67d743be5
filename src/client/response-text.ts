import { Problem } from '../errors.ts'
import { codingOf, decodeBody } from '../http/decompress.ts'
import { ExportError } from '../protocol/read-export.ts'
import { asPeerError, type PeerAnswer, PeerError } from './peer.ts'

/**
 * The text of a peer's answer as it arrives, decoded; without a bound as a whole, since what is kept of it is a row. Throws
 * PeerError where the connection breaks, and ExportError `malformed` where the body is not of its coding.
 */
export async function* answerTexts(
  { headers, body }: PeerAnswer,
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
    // What cannot be decoded may only have been cut: then that is the cause.
    throw error.cause instanceof PeerError ? error.cause : new ExportError('malformed', error.message)
  }
}
