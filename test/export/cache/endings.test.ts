import { open, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text as readText } from 'node:stream/consumers'
import type { Test as TapTest } from 'tap'
import { retryLater } from '../../../src/errors.ts'
import { suite } from '../../suite.ts'
import { controlledText, filesIn, makeCache, makeFolder, openFilesIn, text, textOf, until } from './harness.ts'

const t = suite()

const PAGE = 'x'.repeat(100_000)

/** A cache with an unfinished export of two pages, opened twice. */
async function makeGrowing(t: TapTest) {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder)
  const source = controlledText()
  source.give(PAGE, PAGE)
  const opened = await Promise.all([cache.open('key', 'zstd', source.make), cache.open('key', 'zstd', source.make)])
  const [first, second] = opened.map(({ stream }) => stream) as [Readable, Readable]
  const isGone = async () => openFilesIn(folder) === 0 && (await filesIn(folder)).length === 0
  return { folder, cache, source, first, second, isGone }
}

t.test('when the last reader has left, the text is ended and the file removed', async (t) => {
  const { cache, source, first, second, isGone } = await makeGrowing(t)
  const rest = readText(second).catch(() => {})
  first.destroy()
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(source.counts().freed, 0, 'one reader is left')
  second.destroy()
  await rest
  source.give(PAGE) // the text waits for its next page, as it does for the database
  await until(() => source.counts().freed === 1)
  await until(isGone)
  t.strictSame(cache.warnings, [])
  t.ok(cache.fits(1), 'the disk did not fail either')
  const { stream } = await cache.open('key', 'zstd', text('new'))
  t.equal(await textOf(stream, 'zstd'), 'new')
})

t.test('a request that arrives while the last reader leaves gets a new export', async (t) => {
  const { folder, cache, source, first, second } = await makeGrowing(t)
  first.destroy()
  second.destroy()
  const next = controlledText()
  const opening = cache.open('key', 'zstd', next.make)
  next.give('new')
  next.end()
  t.equal(await textOf((await opening).stream, 'zstd'), 'new')
  t.strictSame([source.counts().made, next.counts().made], [1, 1])
  source.end()
  await until(() => source.counts().freed === 1)
  await cache.close()
  t.match(await filesIn(folder), [/^[0-9a-f]{64}$/], 'the second export is kept')
})

t.test('a failed text rejects all its readers and leaves nothing', async (t) => {
  const { cache, source, first, second, isGone } = await makeGrowing(t)
  const reading = readText(first)
  source.fail(new Error('the database is gone'))
  await t.rejects(reading, { message: 'the database is gone' })
  t.match(second.errored, { message: 'the database is gone' }, 'also a reader that is not reading at the moment')
  await until(isGone)
  t.equal(source.counts().freed, 1)
  t.match(cache.warnings, [{ err: { message: 'the database is gone' } }])
  t.ok(cache.fits(1))
  const { stream } = await cache.open('key', 'zstd', text('new'))
  t.equal(await textOf(stream, 'zstd'), 'new')
})

t.test('an error before the first page rejects all waiting requests', async (t) => {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder)
  const source = controlledText()
  const opening = Array.from({ length: 5 }, () => cache.open('key', 'gzip', source.make))
  const refused = retryLater('overloaded', 'All exports are taken.', 1)
  source.fail(refused)
  for (const each of opening) await t.rejects(each, refused)
  for (const settled of await Promise.allSettled(opening))
    t.equal(settled.status === 'rejected' && settled.reason, refused)
  t.strictSame(source.counts(), { made: 1, read: 0, freed: 1 })
  t.strictSame(await filesIn(folder), [])
  const { stream } = await cache.open('key', 'gzip', text('new'))
  t.equal(await textOf(stream, 'gzip'), 'new')
})

/** What all file handles inherit from. */
async function prototypeOfHandles() {
  const handle = await open(import.meta.filename)
  await handle.close()
  return Object.getPrototypeOf(handle)
}

/** Makes file writes fail from the `nth` one on, until the test ends. */
async function failWrites(t: TapTest, nth: number) {
  const prototype = await prototypeOfHandles()
  const { write } = prototype
  let writes = 0
  t.teardown(() => {
    prototype.write = write
  })
  prototype.write = function (...given: unknown[]) {
    if (++writes < nth) return write.apply(this, given)
    return Promise.reject(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' }))
  }
  return () => {
    prototype.write = write
  }
}

t.test('a full disk rejects all readers, releases the text, and disables the cache for a minute', async (t) => {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder)
  const source = controlledText()
  const restore = await failWrites(t, 3)
  source.give(PAGE)
  const { stream } = await cache.open('key', 'identity', source.make)
  t.ok(cache.fits(1))
  source.give(...Array.from({ length: 20 }, () => PAGE))
  await t.rejects(textOf(stream), { code: 'ENOSPC' })
  t.equal(source.counts().freed, 1, 'the text was released before the readers were rejected')
  await until(() => openFilesIn(folder) === 0)
  t.strictSame(await filesIn(folder), [])
  t.notOk(cache.fits(1))
  restore()
  const again = await cache.open('key', 'identity', text('new'))
  t.equal(await textOf(again.stream), 'new', 'a request is still served')
})

t.test('an export that cannot be kept in the cache is still delivered completely', async (t) => {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder)
  await failWrites(t, 2) // the text is one write, the trailer the next
  const { stream } = await cache.open('key', 'identity', text('whole'))
  t.equal(await textOf(stream), 'whole')
  await until(() => openFilesIn(folder) === 0)
  t.strictSame(await filesIn(folder), [])
  t.match(cache.warnings, [{ err: { message: 'no space left on device' } }])
})

t.test('a disk that became read-only still serves the finished exports', async (t) => {
  const cache = await makeCache(t, await makeFolder(t))
  const first = await cache.open('key', 'identity', text('whole'))
  t.equal(await textOf(first.stream), 'whole')
  const prototype = await prototypeOfHandles()
  const { utimes } = prototype
  t.teardown(() => {
    prototype.utimes = utimes
  })
  prototype.utimes = () => Promise.reject(Object.assign(new Error('read-only file system'), { code: 'EROFS' }))
  await until(async () => {
    const { stream, bytes } = await cache.open('key', 'identity', text('not used'))
    return (await textOf(stream)) === 'whole' && bytes === 5
  })
})

t.test('if the file cannot be created, the request is rejected and the text released', async (t) => {
  const folder = join(await makeFolder(t), 'cache')
  const cache = await makeCache(t, folder)
  await rm(folder, { recursive: true })
  await symlink('nowhere', folder) // nothing is found there, and nothing can be created
  const source = controlledText()
  source.give(PAGE)
  await t.rejects(cache.open('key', 'zstd', source.make), { message: /mkdir/ })
  t.strictSame(source.counts(), { made: 1, read: 1, freed: 1 })
  t.notOk(cache.fits(1))
  await rm(folder)
  const { stream } = await cache.open('key', 'zstd', text('new'))
  t.equal(await textOf(stream, 'zstd'), 'new', 'a deleted folder is created again')
})

t.test('if the disk cannot be read, the request is rejected before a text is created', async (t) => {
  const folder = join(await makeFolder(t), 'cache')
  const cache = await makeCache(t, folder)
  await rm(folder, { recursive: true })
  await writeFile(folder, 'a file instead of the folder')
  const source = controlledText()
  await t.rejects(cache.open('key', 'zstd', source.make), { code: 'ENOTDIR' })
  t.equal(source.counts().made, 0)
  t.notOk(cache.fits(1))
})

t.test('close ends all unfinished exports, readers, and waiting requests', async (t) => {
  const { folder, cache, source, first, second } = await makeGrowing(t)
  const finished = await cache.open('finished', 'identity', text(PAGE, PAGE))
  const read = await cache.open('finished', 'identity', text())
  t.equal(await textOf(read.stream), PAGE + PAGE)
  const late = controlledText()
  const waiting = cache.open('late', 'zstd', late.make)
  const closed = cache.close()
  late.give(PAGE)
  source.give(PAGE)
  await t.rejects(waiting, { code: 'shutting_down' })
  await closed
  for (const stream of [first, second, finished.stream]) t.match(stream.errored, { code: 'shutting_down' })
  t.strictSame([source.counts().freed, late.counts().freed], [1, 1])
  t.equal(openFilesIn(folder), 0)
  t.equal((await filesIn(folder)).length, 1, 'the finished export is kept')
  await t.rejects(cache.open('key', 'zstd', source.make), { code: 'shutting_down', headers: { 'retry-after': '1' } })
  await cache.close()
})
