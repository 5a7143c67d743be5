import { PassThrough, type Transform } from 'node:stream'
import { constants, createBrotliCompress, createDeflate, createGzip, createZstdCompress } from 'node:zlib'

/** The content codings, in the order in which the service prefers them where the client does not care. */
export const CODINGS = ['zstd', 'br', 'gzip', 'deflate', 'identity'] as const

export type Coding = (typeof CODINGS)[number]

// The levels keep one core ahead of PostgreSQL's lines: gzip 6, zstd 3, brotli 4 (its default elsewhere is 11).
export const BROTLI_OPTIONS = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }

/** One object serves gzip and deflate (`level`) and zstd (`params`). */
export const ZLIB_OPTIONS = { level: 6, params: { [constants.ZSTD_c_compressionLevel]: 3 } }

const ENCODERS: Record<Coding, () => Transform> = {
  zstd: () => createZstdCompress(ZLIB_OPTIONS),
  br: () => createBrotliCompress(BROTLI_OPTIONS),
  gzip: () => createGzip(ZLIB_OPTIONS),
  deflate: () => createDeflate(ZLIB_OPTIONS),
  identity: () => new PassThrough(),
}

/** A stream that takes text and gives its bytes in the coding, at the levels of all answers. */
export const createEncoder = (coding: Coding): Transform => ENCODERS[coding]()
