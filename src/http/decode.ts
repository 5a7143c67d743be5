import { pipeline, Readable } from 'node:stream'
import { constants, createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import { Problem } from '../errors.ts'

const chunkSize = 65_536

/** zstd as a content coding has windows of 8 MiB at most (RFC 9659); a file may ask for far more memory. */
const ZSTD_WINDOW_LOG = 23

const DECODERS = {
  gzip: () => createGunzip({ chunkSize }),
  br: () => createBrotliDecompress({ chunkSize }),
  zstd: () => createZstdDecompress({ chunkSize, params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG } }),
  deflate: () => createInflate({ chunkSize }),
}

/** How a body may be coded. */
export type Coding = keyof typeof DECODERS | 'identity'

/** The coding that a Content-Encoding names. Throws `media_type_unsupported` where it is none of ours, or several. */
export function codingOf(contentEncoding = 'identity'): Coding {
  const coding = contentEncoding.trim().toLowerCase()
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
  const decoder = DECODERS[coding]()
  let received = 0
  async function* counted() {
    for await (const bytes of body) {
      received += bytes.length
      yield bytes
    }
  }
  pipeline(Readable.from(counted(), { objectMode: false }), decoder, () => {}) // what fails is met by the reader below
  try {
    yield* decoder as AsyncIterable<Buffer>
    // Node's decoders end where the first frame does, and say nothing of what follows: users would be lost in silence.
    if (decoder.bytesWritten < received) throw new Error('there is more after the end')
  } catch (error) {
    if (error instanceof Problem) throw error
    throw new Problem('invalid_request', 'The body could not be decoded as its Content-Encoding says.', {
      cause: error,
    })
  }
}
