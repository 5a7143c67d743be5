import { PassThrough, type Transform } from 'node:stream'
import { constants, createBrotliCompress, createDeflate, createGzip, createZstdCompress } from 'node:zlib'

/** The content codings, in the service's order of preference. */
export const CODINGS = ['zstd', 'br', 'gzip', 'deflate', 'identity'] as const

export type Coding = (typeof CODINGS)[number]

// At these levels one core keeps ahead of PostgreSQL's lines: gzip 6, zstd 3, brotli 4 (its usual default is 11).
export const BROTLI_OPTIONS = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }

/**
 * One object serves gzip and deflate (`level`) and zstd (`params`). An encoder gets one chunk at a time: if another is queued
 * when the stream ends, Node's zstd adds an empty frame (nodejs/node#66078), which strict decoders reject.
 */
export const ZLIB_OPTIONS = {
  level: 6,
  params: { [constants.ZSTD_c_compressionLevel]: 3 },
  writableHighWaterMark: 1,
}

/** Output chunk size. With zlib's default of 16 KiB, a hundred clients that read an export while it is made take twice as long. */
const chunkSize = 65_536

const ENCODERS: Record<Coding, () => Transform> = {
  zstd: () => createZstdCompress({ ...ZLIB_OPTIONS, chunkSize }),
  br: () => createBrotliCompress({ ...BROTLI_OPTIONS, chunkSize }),
  gzip: () => createGzip({ ...ZLIB_OPTIONS, chunkSize }),
  deflate: () => createDeflate({ ...ZLIB_OPTIONS, chunkSize }),
  identity: () => new PassThrough(),
}

/** Returns a stream that encodes the text of a large response, at the same levels as all responses. */
export const createEncoder = (coding: Coding): Transform => ENCODERS[coding]()
