import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CODINGS } from '../../../src/http/content-coding.ts'
import { suite } from '../../suite.ts'
import { controlledText, filesIn, makeCache, makeFolder, openFilesIn, text, textOf, until } from './harness.ts'

const t = suite()

const LINES = Array.from({ length: 50 }, (_, page) => `{"page":${page},"text":"${'é'.repeat(2_000)}"}\n`)

t.test('100 concurrent requests share one export, and each gets all of it', async (t) => {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder)
  const source = controlledText()
  const opening = Promise.all(Array.from({ length: 100 }, () => cache.open('key', 'zstd', source.make)))
  source.give(...LINES)
  const opened = await opening
  t.ok(opened.every(({ bytes }) => bytes === undefined))
  t.equal(openFilesIn(folder), process.platform === 'linux' ? 1 : 0, 'with one file handle')
  const texts = opened.map(({ stream }) => textOf(stream, 'zstd'))
  source.end()
  t.strictSame(new Set(await Promise.all(texts)), new Set([LINES.join('')]))
  t.strictSame(source.counts(), { made: 1, read: 50, freed: 1 })
  await until(() => openFilesIn(folder) === 0)
})

t.test('a finished export is served from the disk, with its length, also to another cache', async (t) => {
  const folder = await makeFolder(t)
  const source = controlledText()
  for (const cache of [await makeCache(t, folder), await makeCache(t, folder)]) {
    const { stream } = await cache.open('key', 'br', text(...LINES))
    t.equal(await textOf(stream, 'br'), LINES.join(''))
    await until(() => openFilesIn(folder) === 0)
    const again = await Promise.all([cache.open('key', 'br', source.make), cache.open('key', 'br', source.make)])
    const chunks = await again[0].stream.toArray()
    t.equal(again[0].bytes, Buffer.concat(chunks).length)
    t.equal(await textOf(again[1].stream, 'br'), LINES.join(''))
    t.equal(source.counts().made, 0)
  }
  await until(() => openFilesIn(folder) === 0)
})

t.test('every encoding decodes to the text, and each key and encoding has its own file', async (t) => {
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

t.test('cache files are accessible only to this user and named by a hash', async (t) => {
  const folder = join(await makeFolder(t), 'made', 'here')
  const cache = await makeCache(t, folder)
  const source = controlledText()
  source.give('text')
  const { stream } = await cache.open('../key\n', 'identity', source.make)
  const [partial = ''] = await filesIn(folder)
  t.match(partial, /^[0-9a-f]{64}\.[0-9a-f]{16}\.partial$/)
  t.equal((await stat(join(folder, partial))).mode & 0o777, 0o600)
  t.equal((await stat(folder)).mode & 0o777, 0o700)
  source.end()
  t.equal(await textOf(stream), 'text')
  await cache.close()
  t.strictSame(await filesIn(folder), [partial.slice(0, 64)])
})

t.test('a late reader gets the export from the start, and a slow reader does not block the others', async (t) => {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder)
  const source = controlledText()
  source.give(...LINES.slice(0, 25))
  const { stream: slow } = await cache.open('key', 'identity', source.make)
  const { stream: fast } = await cache.open('key', 'identity', source.make)
  await until(() => source.counts().read === 25)
  const { stream: late } = await cache.open('key', 'identity', source.make)
  const texts = [textOf(fast), textOf(late)]
  source.give(...LINES.slice(25))
  source.end()
  t.strictSame(await Promise.all(texts), [LINES.join(''), LINES.join('')])
  t.equal(source.counts().freed, 1, 'the text has ended, although one reader has read nothing')
  t.ok(slow.readableLength <= 65_536)
  t.equal(await textOf(slow), LINES.join(''))
  t.equal(source.counts().made, 1)
})

t.test('a page can be read before the next one is written', async (t) => {
  const cache = await makeCache(t, await makeFolder(t))
  const source = controlledText()
  source.give('first')
  const { stream } = await cache.open('key', 'identity', source.make)
  const chunks = stream[Symbol.asyncIterator]()
  t.equal(String((await chunks.next()).value), 'first')
  const second = chunks.next()
  source.give('second')
  t.equal(String((await second).value), 'second')
  source.end()
  t.ok((await chunks.next()).done)
})
