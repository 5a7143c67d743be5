import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CODINGS } from '../../../src/http/content-coding.ts'
import { suite } from '../../suite.ts'
import { filesIn, heldText, makeCache, makeFolder, openFilesIn, text, textOf, until } from './harness.ts'

const t = suite()

const LINES = Array.from({ length: 50 }, (_, page) => `{"page":${page},"text":"${'é'.repeat(5_000)}"}\n`)

t.test('a hundred who ask cost one export, and all get the whole of it', async (t) => {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder)
  const held = heldText()
  const opening = Promise.all(Array.from({ length: 100 }, () => cache.open('key', 'zstd', held.make)))
  held.give(...LINES)
  const opened = await opening
  t.ok(opened.every(({ bytes }) => bytes === undefined))
  t.equal(await openFilesIn(folder), process.platform === 'linux' ? 1 : 0, 'on one file handle')
  const texts = opened.map(({ stream }) => textOf(stream, 'zstd'))
  held.end()
  t.strictSame(new Set(await Promise.all(texts)), new Set([LINES.join('')]))
  t.strictSame(held.counts(), { made: 1, read: 50, freed: 1 })
  await until(async () => (await openFilesIn(folder)) === 0)
})

t.test('what is finished is served from the disk, with its length, to this cache and to another', async (t) => {
  const folder = await makeFolder(t)
  const held = heldText()
  for (const cache of [await makeCache(t, folder), await makeCache(t, folder)]) {
    const { stream } = await cache.open('key', 'br', text(...LINES))
    t.equal(await textOf(stream, 'br'), LINES.join(''))
    await until(async () => (await openFilesIn(folder)) === 0)
    const again = await Promise.all([cache.open('key', 'br', held.make), cache.open('key', 'br', held.make)])
    const chunks = await again[0].stream.toArray()
    t.equal(again[0].bytes, Buffer.concat(chunks).length)
    t.equal(await textOf(again[1].stream, 'br'), LINES.join(''))
    t.equal(held.counts().made, 0)
  }
  await until(async () => (await openFilesIn(folder)) === 0)
})

t.test('every coding decodes to the text; each is a file of its own, and so is each key', async (t) => {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder)
  for (const coding of CODINGS) {
    for (const key of ['a', 'b']) {
      const { stream } = await cache.open(key, coding, text(key, ...LINES))
      t.equal(await textOf(stream, coding), key + LINES.join(''))
    }
  }
  const { stream } = await cache.open('empty', 'identity', text())
  t.equal(await textOf(stream), '')
  await cache.close()
  t.equal((await filesIn(folder)).length, 2 * CODINGS.length + 1)
})

t.test('files are for this user alone, and named by a hash', async (t) => {
  const folder = join(await makeFolder(t), 'made', 'here')
  const cache = await makeCache(t, folder)
  const held = heldText()
  held.give('text')
  const { stream } = await cache.open('../key\n', 'identity', held.make)
  const [partial = ''] = await filesIn(folder)
  t.match(partial, /^[0-9a-f]{64}\.[0-9a-f]{16}\.partial$/)
  t.equal((await stat(join(folder, partial))).mode & 0o777, 0o600)
  t.equal((await stat(folder)).mode & 0o777, 0o700)
  held.end()
  t.equal(await textOf(stream), 'text')
  await cache.close()
  t.strictSame(await filesIn(folder), [partial.slice(0, 64)])
})

t.test('who joins half-way gets everything from the start; who is slow holds up nobody', async (t) => {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder)
  const held = heldText()
  held.give(...LINES.slice(0, 25))
  const { stream: slow } = await cache.open('key', 'identity', held.make)
  const { stream: fast } = await cache.open('key', 'identity', held.make)
  await until(() => held.counts().read === 25)
  const { stream: late } = await cache.open('key', 'identity', held.make)
  const texts = [textOf(fast), textOf(late)]
  held.give(...LINES.slice(25))
  held.end()
  t.strictSame(await Promise.all(texts), [LINES.join(''), LINES.join('')])
  t.equal(held.counts().freed, 1, 'the text has ended although one has read nothing')
  t.ok(slow.readableLength <= 65_536)
  t.equal(await textOf(slow), LINES.join(''))
  t.equal(held.counts().made, 1)
})

t.test('what is written while it is made can be read before more comes', async (t) => {
  const cache = await makeCache(t, await makeFolder(t))
  const held = heldText()
  held.give('first')
  const { stream } = await cache.open('key', 'identity', held.make)
  const chunks = stream[Symbol.asyncIterator]()
  t.equal(String((await chunks.next()).value), 'first')
  const second = chunks.next()
  held.give('second')
  t.equal(String((await second).value), 'second')
  held.end()
  t.ok((await chunks.next()).done)
})
