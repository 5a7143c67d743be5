import type { Transform } from 'node:stream'
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
  type Zlib,
} from 'node:zlib'
import { Problem } from '../errors.ts'

const chunkSize = 65_536

/**
 * A body in zstd may be several frames (RFC 8878 section 3), and Node's encoder ends what it makes with an empty one at times
 * (nodejs/node#66078); Node's decoder ends with the first (#64741). They are bounded, since each costs a decoder.
 */
const MOST_FRAMES = 1_000

/** zstd as a content coding has windows of 8 MiB at most (RFC 9659); a file may ask for far more memory. */
const ZSTD_WINDOW_LOG = 23

export const DECODERS = {
  gzip: () => createGunzip({ chunkSize }),
  br: () => createBrotliDecompress({ chunkSize }),
  zstd: () => createZstdDecompress({ chunkSize, params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG } }),
  deflate: () => createInflate({ chunkSize }),
}

/** Node's code for a zstd frame that needs more. */
export const ZSTD_WINDOW_TOO_LARGE = 'ZSTD_error_frameParameter_windowTooLarge'
export const ZSTD_WINDOW_HELP =
  'The zstd body needs a window of more than 8 MiB (RFC 9659). Compress it without --long, or with --long=23.'

export const isWindowTooLarge = (error: unknown) => (error as NodeJS.ErrnoException).code === ZSTD_WINDOW_TOO_LARGE

/** How a body may be coded. */
export type Coding = keyof typeof DECODERS | 'identity'

/** The name of a coding as all of this code has it: in lower case, and `gzip` for `x-gzip` (RFC 9110 section 8.4.1.3). */
export const codingName = (text: string): string =>
  text
    .trim()
    .toLowerCase()
    .replace(/^x-gzip$/, 'gzip')

/** The coding that a Content-Encoding names. Throws `media_type_unsupported` where it is none of ours, or several. */
export function codingOf(contentEncoding = 'identity'): Coding {
  const coding = codingName(contentEncoding)
  if (coding === 'identity' || Object.hasOwn(DECODERS, coding)) return coding as Coding
  throw new Problem('media_type_unsupported', 'Content-Encoding may be gzip, br, zstd or deflate.')
}

/**
 * The text of a body, piece by piece, without a byte order mark. `limitMb` bounds it as it is decoded, in MiB, whatever it
 * was on the wire. Throws `body_too_large`, and `invalid_request` where the body is not of its coding, or not UTF-8.
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
      throw new Problem('invalid_request', 'The body is not UTF-8.', { cause })
    }
  }
  let left = limitMb * 1_048_576
  for await (const bytes of coding === 'identity' ? body : decompress(body, coding)) {
    left -= bytes.length
    if (left < 0)
      throw new Problem('body_too_large', `The decoded body is larger than ${limitMb} MiB (IMPORT_LIMIT_MB).`)
    yield text(bytes)
  }
  yield text()
}

async function* decompress(body: AsyncIterable<Buffer>, coding: Exclude<Coding, 'identity'>) {
  const source = body[Symbol.asyncIterator]()
  let rest: Buffer | undefined
  let frames = 0
  try {
    do {
      const decoder = DECODERS[coding]()
      const fed = feed(decoder, source, rest)
      yield* decoder as AsyncIterable<Buffer>
      rest = await fed
      if (rest && (coding !== 'zstd' || ++frames === MOST_FRAMES)) throw new Error('there is more after the end')
    } while (rest)
  } catch (error) {
    if (error instanceof Problem) throw error
    const detail = isWindowTooLarge(error)
      ? ZSTD_WINDOW_HELP
      : 'The body could not be decoded as its Content-Encoding says.'
    throw new Problem('invalid_request', detail, { cause: error })
  } finally {
    source.return?.()?.catch(() => {}) // not waited for: a silent sender must not hold up who has enough
  }
}

/**
 * Writes to the decoder, first what the one before it has left over, a piece at a time so that it is known what this one
 * leaves. Gives that, of no use where the decoder failed or was given up; undefined where it took all there was. Where a piece
 * cannot be had it destroys the decoder.
 */
async function feed(decoder: Transform & Zlib, source: AsyncIterator<Buffer>, first: Buffer | undefined) {
  let wake = () => {}
  const stop = () => wake()
  decoder.once('end', stop).once('close', stop)
  try {
    for (let piece = first ?? (await source.next()).value, given = 0; piece; piece = (await source.next()).value) {
      given += piece.length
      await new Promise<void>((resolve) => {
        wake = resolve
        decoder.write(piece, () => resolve()) // which is not called where the decoder ends within the piece
      })
      if (decoder.bytesWritten < given) return piece.subarray(decoder.bytesWritten - given)
      if (decoder.destroyed) return undefined
    }
    decoder.end()
  } catch (error) {
    decoder.destroy(error as Error)
  }
  return undefined
}
