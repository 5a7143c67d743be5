import { randomBytes } from 'node:crypto'
import { type FileHandle, open, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test as TapTest } from 'tap'
import { BLOCK_BYTES, createSharedBlocks, MAX_BLOCKS } from '../../../src/export/cache/shared-blocks.ts'
import { suite } from '../../suite.ts'
import { makeCache, makeFolder, text } from './harness.ts'

const t = suite()

/** A file of so many blocks and one byte, and how often it was read. */
async function makeFile(t: TapTest, blocks: number) {
  const path = join(await makeFolder(t), 'export')
  const bytes = randomBytes(blocks * BLOCK_BYTES + 1)
  await writeFile(path, bytes)
  const handle = await open(path)
  t.teardown(() => handle.close())
  let reads = 0
  const { read } = handle
  handle.read = ((...given: Parameters<FileHandle['read']>) => {
    reads++
    return read.apply(handle, given)
  }) as FileHandle['read']
  return { path, bytes, handle, reads: () => reads }
}

t.test('callers share the read of a block, while it runs and afterwards', async (t) => {
  const { bytes, handle, reads } = await makeFile(t, 1)
  const blocks = createSharedBlocks()
  const ends = [BLOCK_BYTES, bytes.length]
  for (let round = 0; round < 2; round++) {
    for (const [block, end] of ends.entries()) {
      const start = block * BLOCK_BYTES
      const read = await Promise.all(Array.from({ length: 20 }, () => blocks.read(handle, start, end)))
      t.ok(read.every((each) => each.equals(bytes.subarray(start, end))))
    }
  }
  t.equal(reads(), ends.length)
})

t.test('only the most recently used blocks are kept, of all files together', async (t) => {
  const [one, other] = [await makeFile(t, MAX_BLOCKS), await makeFile(t, 1)]
  const blocks = createSharedBlocks()
  const read = ({ handle }: typeof one, block: number) =>
    blocks.read(handle, block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES)
  for (let block = 0; block < MAX_BLOCKS; block++) await read(one, block)
  await read(one, 0) // now the second block is the one that was not used for longest
  await read(other, 0)
  t.strictSame([one.reads(), other.reads()], [MAX_BLOCKS, 1])
  await read(one, 0)
  await read(other, 0)
  t.strictSame([one.reads(), other.reads()], [MAX_BLOCKS, 1])
  await read(one, 1)
  t.equal(one.reads(), MAX_BLOCKS + 1)
})

t.test('no block is kept of a file that is closed, nor one that could not be read', async (t) => {
  const { path, bytes, handle, reads } = await makeFile(t, 1)
  const blocks = createSharedBlocks()
  await blocks.read(handle, 0, BLOCK_BYTES)
  blocks.forget(handle)
  await blocks.read(handle, 0, BLOCK_BYTES)
  t.equal(reads(), 2)

  await truncate(path, BLOCK_BYTES)
  const failing = Array.from({ length: 3 }, () => blocks.read(handle, BLOCK_BYTES, bytes.length))
  for (const each of failing) await t.rejects(each, { message: 'export file was truncated' })
  await writeFile(path, bytes)
  t.ok((await blocks.read(handle, BLOCK_BYTES, bytes.length)).equals(bytes.subarray(BLOCK_BYTES)))
})

t.test('an export that reuses the file descriptor of another one has its own blocks', async (t) => {
  const cache = await makeCache(t, await makeFolder(t))
  for (const letter of ['a', 'b', 'c']) {
    const whole = letter.repeat(2 * BLOCK_BYTES)
    for (let reader = 0; reader < 2; reader++) {
      const { stream } = await cache.open(letter, 'identity', text(whole))
      t.ok(Buffer.concat(await stream.toArray()).equals(Buffer.from(whole)))
    }
  }
})
