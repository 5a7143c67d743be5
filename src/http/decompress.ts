import type { Transform } from 'node:stream'
import zlib, { type Zlib } from 'node:zlib' // createZstdDecompress cannot be imported by name: Node 20, on which pulls run, lacks it
import { ContentError } from '../protocol/text.ts'

const chunkSize = 65_536

/**
 * A zstd body may have several frames (RFC 8878 section 3), and Node's encoder sometimes ends with an empty one
 * (nodejs/node#66078), but Node's decoder stops after the first (#64741). Each frame costs a decoder, so their number is bounded.
 */
const MAX_FRAMES = 1_000

/** zstd as a content coding has a window of at most 8 MiB (RFC 9659). A file may request far more memory. */
const ZSTD_WINDOW_LOG = 23

export const DECODERS = {
  gzip: () => zlib.createGunzip({ chunkSize }),
  br: () => zlib.createBrotliDecompress({ chunkSize }),
  zstd: () =>
    zlib.createZstdDecompress({ chunkSize, params: { [zlib.constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG } }),
  deflate: () => zlib.createInflate({ chunkSize }),
}

/** Whether this Node can decode zstd: from 22.15. */
export const hasZstd = zlib.createZstdDecompress !== undefined

/** Node's error code for a zstd frame with a larger window. */
export const ZSTD_WINDOW_TOO_LARGE = 'ZSTD_error_frameParameter_windowTooLarge'
export const ZSTD_WINDOW_HELP =
  'The zstd body needs a window of more than 8 MiB (RFC 9659). Compress it without --long, or with --long=23.'

export const isWindowTooLarge = (error: unknown) => (error as NodeJS.ErrnoException).code === ZSTD_WINDOW_TOO_LARGE

/** The content codings of request bodies. */
export type Coding = keyof typeof DECODERS | 'identity'

/** The canonical name of a coding: lower case, and `gzip` for `x-gzip` (RFC 9110 section 8.4.1.3). */
export const codingName = (text: string): string =>
  text
    .trim()
    .toLowerCase()
    .replace(/^x-gzip$/, 'gzip')

export const UNKNOWN_CODING_HELP = 'Content-Encoding may be gzip, br, zstd or deflate.'
export const UNDECODABLE_HELP = 'The body does not match its Content-Encoding.'

/** Returns the coding that a Content-Encoding names. Throws ContentError `unknown_coding` if it is unknown, or more than one. */
export function codingOf(contentEncoding = 'identity'): Coding {
  const coding = codingName(contentEncoding)
  if (coding === 'identity' || Object.hasOwn(DECODERS, coding)) return coding as Coding
  throw new ContentError('unknown_coding', UNKNOWN_CODING_HELP)
}

/**
 * Yields the text of a body in chunks, without a byte order mark. `limitMb` limits the decoded size in MiB, whatever the size on
 * the wire. Throws ContentError `too_large`, and `undecodable` if the body does not match its coding or is not UTF-8. Errors of `body`
 * pass unchanged.
 */
export async function* decodeBody(
  body: AsyncIterable<Buffer>,
  coding: Coding,
  limitMb: number,
): AsyncGenerator<string, void, void> {
  const utf8 = new TextDecoder('utf-8', { fatal: true })
  const text = (bytes?: Buffer) => {
    try {
      return utf8.decode(bytes, { stream: bytes !== undefined })
    } catch (cause) {
      throw new ContentError('undecodable', 'The body is not UTF-8.', { cause })
    }
  }
  let left = limitMb * 1_048_576
  for await (const bytes of coding === 'identity' ? body : decompress(body, coding)) {
    left -= bytes.length
    if (left < 0)
      throw new ContentError('too_large', `The decoded body is larger than ${limitMb} MiB (IMPORT_LIMIT_MB).`)
    yield text(bytes)
  }
  yield text()
}

async function* decompress(body: AsyncIterable<Buffer>, coding: Exclude<Coding, 'identity'>) {
  const source = body[Symbol.asyncIterator]()
  let sourceError: unknown
  const onError = (error: unknown) => {
    sourceError = error
  }
  let rest: Buffer | undefined
  let frames = 0
  try {
    do {
      const decoder = DECODERS[coding]()
      const fed = feed(decoder, { source, onError }, rest)
      yield* decoder as AsyncIterable<Buffer>
      rest = await fed
      if (rest && (coding !== 'zstd' || ++frames === MAX_FRAMES)) throw new Error('trailing data')
    } while (rest)
  } catch (error) {
    if (error === sourceError) throw error
    const message = isWindowTooLarge(error) ? ZSTD_WINDOW_HELP : UNDECODABLE_HELP
    throw new ContentError('undecodable', message, { cause: error })
  } finally {
    source.return?.()?.catch(() => {}) // not awaited: a silent client must not block a caller that is done
  }
}

/**
 * Feeds the decoder: first `first`, the rest of the previous decoder, then the source. Writes one chunk at a time, so that the
 * unread rest of a chunk is known. Returns that rest, or undefined if the decoder consumed everything. The rest is meaningless if
 * the decoder failed or was abandoned. If the source throws, passes the error to `onError` and destroys the decoder with it.
 */
async function feed(
  decoder: Transform & Zlib,
  { source, onError }: { source: AsyncIterator<Buffer>; onError: (error: unknown) => void },
  first: Buffer | undefined,
) {
  let wake = () => {}
  const stop = () => wake()
  decoder.once('end', stop).once('close', stop)
  try {
    for (let piece = first ?? (await source.next()).value, given = 0; piece; piece = (await source.next()).value) {
      given += piece.length
      await new Promise<void>((resolve) => {
        wake = resolve
        decoder.write(piece, () => resolve()) // not called if the decoder ends within the chunk
      })
      if (decoder.bytesWritten < given) return piece.subarray(decoder.bytesWritten - given)
      if (decoder.destroyed) return undefined
    }
    decoder.end()
  } catch (error) {
    onError(error)
    decoder.destroy(error as Error)
  }
  return undefined
}
