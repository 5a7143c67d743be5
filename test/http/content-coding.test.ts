import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import { createEncoder } from '../../src/http/content-coding.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('zstd is one frame, however the text comes: strict decoders refuse a second, be it empty', async () => {
  const pieces = fc.array(fc.nat({ max: 200_000 }), { maxLength: 5 })
  await fc.assert(
    fc.asyncProperty(pieces, async (lengths) => {
      const text = lengths.map((length, i) => String(i).repeat(length))
      const encoder = createEncoder('zstd')
      const [bytes] = await Promise.all([buffer(encoder), pipeline(text, encoder)])
      // With `info` it is a pair, which the published types do not know.
      const decoded: unknown = zstdDecompressSync(bytes, { info: true } as object)
      const { buffer: whole, engine } = decoded as { buffer: Buffer; engine: { bytesWritten: number } }
      return String(whole) === text.join('') && engine.bytesWritten === bytes.length
    }),
    { numRuns: 50 },
  )
})
