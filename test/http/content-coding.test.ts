import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import { CODINGS, createEncoder } from '../../src/http/content-coding.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test(
  'zstd output is one frame, however the text is split: strict decoders reject a second, even an empty one',
  async () => {
    const pieces = fc.array(fc.nat({ max: 200_000 }), { maxLength: 5 })
    await fc.assert(
      fc.asyncProperty(pieces, async (lengths) => {
        const text = lengths.map((length, i) => String(i).repeat(length))
        const encoder = createEncoder('zstd')
        const [bytes] = await Promise.all([buffer(encoder), pipeline(text, encoder)])
        // With `info` it returns a pair, which the published types do not describe.
        const decoded: unknown = zstdDecompressSync(bytes, { info: true } as object)
        const { buffer: whole, engine } = decoded as { buffer: Buffer; engine: { bytesWritten: number } }
        return String(whole) === text.join('') && engine.bytesWritten === bytes.length
      }),
      { numRuns: 50 },
    )
  },
)

// They throw if the end is missing. Decoders of streams may accept that, and clients would take a cut response for a whole one.
const DECODERS = {
  zstd: zstdDecompressSync,
  br: brotliDecompressSync,
  gzip: gunzipSync,
  deflate: inflateSync,
  identity: (bytes: Buffer) => bytes,
}

for (const coding of CODINGS) {
  t.test(`${coding} output ends as the coding demands, and contains the whole text`, async (t) => {
    const text = Array.from({ length: 100 }, (_, i) => `user ${i}\n`.repeat(100 * i))
    const encoder = createEncoder(coding)
    const [bytes] = await Promise.all([buffer(encoder), pipeline(text, encoder)])
    t.equal(String(DECODERS[coding](bytes)), text.join(''))
  })
}
