import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { type Coding, codingOf, decodeBody } from '../../src/http/decompress.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

const TEXT = `${'ünï 🐉 '.repeat(6_500)}end` // 72 KB, more than one chunk of a decoder
const CODERS = { gzip: gzipSync, br: brotliCompressSync, zstd: zstdCompressSync, deflate: deflateSync }

async function decode(bytes: Buffer, coding: Coding, { size = 1000, limitMb = 1 } = {}): Promise<string> {
  // biome-ignore lint/suspicious/useAwait: bodies arrive piece by piece
  async function* pieces() {
    for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size)
  }
  let text = ''
  for await (const piece of decodeBody(pieces(), coding, limitMb)) text += piece
  return text
}

t.test('each encoding is decoded, and rejected if it is cut, continues or does not match', async (t) => {
  for (const [coding, encode] of Object.entries(CODERS) as [keyof typeof CODERS, (text: Buffer) => Buffer][]) {
    const coded = encode(Buffer.from(TEXT))
    for (const size of sized([1, 100_000], [1, 7, 100_000]))
      t.equal(await decode(coded, coding, { size }), TEXT, `${coding} ${size}`)
    const invalid = { name: 'ContentError', fault: 'undecodable' }
    for (const bytes of [
      coded.subarray(0, -1),
      coded.subarray(0, coded.length / 2),
      Buffer.from('plain text'),
      Buffer.alloc(0),
    ]) {
      await t.rejects(decode(bytes, coding), invalid, `${coding} of ${bytes.length} bytes`)
    }
    await t.rejects(
      decode(Buffer.concat([coded, Buffer.from('and more')]), coding),
      invalid,
      `${coding}: trailing bytes`,
    )
    const bomb = encode(Buffer.alloc(1_500_000))
    await t.rejects(
      decode(bomb, coding),
      { name: 'ContentError', fault: 'too_large', message: /1 MiB \(IMPORT_LIMIT_MB\)/ },
      `${coding} bomb`,
    )
  }
})

t.test('an error of the source passes unchanged', async (t) => {
  const cut = new Error('the connection is cut')
  for (const [coding, encode] of Object.entries(CODERS) as [keyof typeof CODERS, (text: Buffer) => Buffer][]) {
    const coded = encode(Buffer.from(TEXT))
    // biome-ignore lint/suspicious/useAwait: bodies arrive in pieces
    async function* pieces() {
      yield coded.subarray(0, coded.length / 2)
      throw cut
    }
    const error = await Array.fromAsync(decodeBody(pieces(), coding, 1)).catch((error: unknown) => error)
    t.equal(error, cut, coding)
  }
})

t.test('zstd with several frames is decoded completely, even if some are empty', async (t) => {
  const [frame, empty] = [zstdCompressSync(Buffer.from(TEXT)), zstdCompressSync(Buffer.alloc(0))]
  for (const size of sized([1, frame.length], [1, 7, frame.length, frame.length + 3, 100_000])) {
    const several = Buffer.concat([empty, frame, empty, empty, frame, frame, empty])
    t.equal(await decode(several, 'zstd', { size }), TEXT + TEXT + TEXT)
    const cut = Buffer.concat([frame, frame.subarray(0, -1)])
    await t.rejects(decode(cut, 'zstd', { size }), { name: 'ContentError', fault: 'undecodable' })
    await t.rejects(decode(Buffer.concat([frame, Buffer.from('no frame')]), 'zstd', { size }), {
      name: 'ContentError',
      fault: 'undecodable',
    })
  }
  await t.rejects(
    decode(Buffer.alloc(9 * 5_000, empty), 'zstd'),
    { name: 'ContentError', fault: 'undecodable' },
    'but not thousands of frames',
  )
})

t.test('text must be UTF-8, with or without a byte order mark', async (t) => {
  const text = TEXT.slice(-1_000)
  t.equal(await decode(Buffer.from(`\ufeff${text}`), 'identity', { size: 1 }), text)
  for (const bytes of [[0xff], [0x61, 0xc3], [0xed, 0xa0, 0x80], [0xc0, 0x80]]) {
    await t.rejects(decode(Buffer.from(bytes), 'identity'), {
      name: 'ContentError',
      fault: 'undecodable',
      message: /UTF-8/,
    })
  }
  t.equal((await decode(Buffer.alloc(1_048_576, 'x'), 'identity')).length, 1_048_576)
  await t.rejects(decode(Buffer.alloc(1_048_577, 'x'), 'identity'), { name: 'ContentError', fault: 'too_large' })
})

t.test('codingOf recognizes the names of encodings', (t) => {
  t.strictSame(
    [codingOf(), codingOf('identity'), codingOf(' GZip '), codingOf('zstd')],
    ['identity', 'identity', 'gzip', 'zstd'],
  )
  for (const name of ['', 'snappy', 'gzip, br', 'constructor']) {
    t.throws(() => codingOf(name), { name: 'ContentError', fault: 'unknown_coding' }, name)
  }
  t.end()
})
