import { PassThrough, type Transform } from 'node:stream'
import { constants, createBrotliCompress, createDeflate, createGzip, createZstdCompress } from 'node:zlib'

/** The content codings, in the order in which the service prefers them where the client does not care. */
export const CODINGS = ['zstd', 'br', 'gzip', 'deflate', 'identity'] as const

export type Coding = (typeof CODINGS)[number]

// The levels keep one core ahead of PostgreSQL's lines: gzip 6, zstd 3, brotli 4 (its default elsewhere is 11).
export const BROTLI_OPTIONS = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }

/**
 * One object serves gzip and deflate (`level`) and zstd (`params`). An encoder takes one piece at a time: where another waits
 * when the end is told, Node's zstd adds an empty frame (nodejs/node#66078), which strict decoders refuse.
 */
export const ZLIB_OPTIONS = {
  level: 6,
  params: { [constants.ZSTD_c_compressionLevel]: 3 },
  writableHighWaterMark: 1,
}

/** Bytes of an encoder's pieces; with zlib's 16 KiB a hundred who read an export while it is made take twice the time. */
const chunkSize = 65_536

const ENCODERS: Record<Coding, () => Transform> = {
  zstd: () => createZstdCompress({ ...ZLIB_OPTIONS, chunkSize }),
  br: () => createBrotliCompress({ ...BROTLI_OPTIONS, chunkSize }),
  gzip: () => createGzip({ ...ZLIB_OPTIONS, chunkSize }),
  deflate: () => createDeflate({ ...ZLIB_OPTIONS, chunkSize }),
  identity: () => new PassThrough(),
}

/** A stream that takes the text of a large answer and gives its bytes in the coding, at the levels of all answers. */
export const createEncoder = (coding: Coding): Transform => ENCODERS[coding]()
