import { open, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text as readText } from 'node:stream/consumers'
import type { Test as TapTest } from 'tap'
import { Problem } from '../../../src/errors.ts'
import { suite } from '../../suite.ts'
import { filesIn, heldText, makeCache, makeFolder, openFilesIn, text, textOf, until } from './harness.ts'

const t = suite()

const PAGE = 'x'.repeat(100_000)

/** A cache with an export of two pages, opened twice, that is still made. */
async function makeGrowing(t: TapTest) {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder)
  const held = heldText()
  held.give(PAGE, PAGE)
  const opened = await Promise.all([cache.open('key', 'zstd', held.make), cache.open('key', 'zstd', held.make)])
  const [first, second] = opened.map(({ stream }) => stream) as [Readable, Readable]
  const isGone = async () => (await openFilesIn(folder)) === 0 && (await filesIn(folder)).length === 0
  return { folder, cache, held, first, second, isGone }
}

t.test('when the last who follows is gone, the text is ended and the file removed', async (t) => {
  const { cache, held, first, second, isGone } = await makeGrowing(t)
  const rest = readText(second).catch(() => {})
  first.destroy()
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(held.counts().freed, 0, 'one is left')
  second.destroy()
  await rest
  held.give(PAGE) // the text is waiting for its next page, as for the database
  await until(() => held.counts().freed === 1)
  await until(isGone)
  t.strictSame(cache.warnings, [])
  t.ok(cache.fits(1), 'nor did the disk fail')
  const { stream } = await cache.open('key', 'zstd', text('anew'))
  t.equal(await textOf(stream, 'zstd'), 'anew')
})

t.test('who asks while the last leaves is given an export of its own', async (t) => {
  const { folder, cache, held, first, second } = await makeGrowing(t)
  first.destroy()
  second.destroy()
  const anew = heldText()
  const opening = cache.open('key', 'zstd', anew.make)
  anew.give('anew')
  anew.end()
  t.equal(await textOf((await opening).stream, 'zstd'), 'anew')
  t.strictSame([held.counts().made, anew.counts().made], [1, 1])
  held.end()
  await until(() => held.counts().freed === 1)
  await cache.close()
  t.match(await filesIn(folder), [/^[0-9a-f]{64}$/], 'the second export is kept')
})

t.test('a text that fails cuts off all who follow it, and leaves nothing', async (t) => {
  const { cache, held, first, second, isGone } = await makeGrowing(t)
  const reading = readText(first)
  held.fail(new Error('the database is gone'))
  await t.rejects(reading, { message: 'the database is gone' })
  t.match(second.errored, { message: 'the database is gone' }, 'also one that reads nothing at the moment')
  await until(isGone)
  t.equal(held.counts().freed, 1)
  t.match(cache.warnings, [{ err: { message: 'the database is gone' } }])
  t.ok(cache.fits(1))
  const { stream } = await cache.open('key', 'zstd', text('anew'))
  t.equal(await textOf(stream, 'zstd'), 'anew')
})

t.test('what fails before the first page rejects all who wait, with that error', async (t) => {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder)
  const held = heldText()
  const opening = Array.from({ length: 5 }, () => cache.open('key', 'gzip', held.make))
  const refused = new Problem('overloaded', 'All exports are taken.')
  held.fail(refused)
  for (const each of opening) await t.rejects(each, refused)
  for (const settled of await Promise.allSettled(opening))
    t.equal(settled.status === 'rejected' && settled.reason, refused)
  t.strictSame(held.counts(), { made: 1, read: 0, freed: 1 })
  t.strictSame(await filesIn(folder), [])
  const { stream } = await cache.open('key', 'gzip', text('anew'))
  t.equal(await textOf(stream, 'gzip'), 'anew')
})

/** Lets writing to files fail from the `nth` write on, until the test ends. */
async function failWrites(t: TapTest, nth: number) {
  const handle = await open(import.meta.filename)
  const prototype = Object.getPrototypeOf(handle)
  await handle.close()
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

t.test('a full disk cuts off all who follow, frees the text, and keeps exports away for a minute', async (t) => {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder)
  const held = heldText()
  const mend = await failWrites(t, 3)
  held.give(PAGE)
  const { stream } = await cache.open('key', 'identity', held.make)
  t.ok(cache.fits(1))
  held.give(...Array.from({ length: 20 }, () => PAGE))
  await t.rejects(textOf(stream), { code: 'ENOSPC' })
  t.equal(held.counts().freed, 1, 'the text was freed before they were told')
  await until(async () => (await openFilesIn(folder)) === 0)
  t.strictSame(await filesIn(folder), [])
  t.notOk(cache.fits(1))
  mend()
  const again = await cache.open('key', 'identity', text('anew'))
  t.equal(await textOf(again.stream), 'anew', 'who asks all the same is served')
})

t.test('an export that is whole but cannot be kept is whole for those who follow it', async (t) => {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder)
  await failWrites(t, 2) // the text is one write, the trailer the next
  const { stream } = await cache.open('key', 'identity', text('whole'))
  t.equal(await textOf(stream), 'whole')
  await until(async () => (await openFilesIn(folder)) === 0)
  t.strictSame(await filesIn(folder), [])
  t.match(cache.warnings, [{ err: { message: 'no space left on device' } }])
})

t.test('a file that cannot be made rejects who asks, and frees the text', async (t) => {
  const folder = join(await makeFolder(t), 'cache')
  const cache = await makeCache(t, folder)
  await rm(folder, { recursive: true })
  await symlink('nowhere', folder) // so that nothing is found there, and nothing can be made
  const held = heldText()
  held.give(PAGE)
  await t.rejects(cache.open('key', 'zstd', held.make), { message: /mkdir/ })
  t.strictSame(held.counts(), { made: 1, read: 1, freed: 1 })
  t.notOk(cache.fits(1))
  await rm(folder)
  const { stream } = await cache.open('key', 'zstd', text('anew'))
  t.equal(await textOf(stream, 'zstd'), 'anew', 'a folder that was deleted is made again')
})

t.test('a disk that cannot be read rejects who asks, before any text is made', async (t) => {
  const folder = join(await makeFolder(t), 'cache')
  const cache = await makeCache(t, folder)
  await rm(folder, { recursive: true })
  await writeFile(folder, 'in the way')
  const held = heldText()
  await t.rejects(cache.open('key', 'zstd', held.make), { code: 'ENOTDIR' })
  t.equal(held.counts().made, 0)
  t.notOk(cache.fits(1))
})

t.test('close ends what is left: makers, readers, and those who wait', async (t) => {
  const { folder, cache, held, first, second } = await makeGrowing(t)
  const finished = await cache.open('finished', 'identity', text(PAGE, PAGE))
  const read = await cache.open('finished', 'identity', text())
  t.equal(await textOf(read.stream), PAGE + PAGE)
  const late = heldText()
  const waiting = cache.open('late', 'zstd', late.make)
  const closed = cache.close()
  late.give(PAGE)
  held.give(PAGE)
  await t.rejects(waiting, { code: 'shutting_down' })
  await closed
  for (const stream of [first, second, finished.stream]) t.match(stream.errored, { code: 'shutting_down' })
  t.strictSame([held.counts().freed, late.counts().freed], [1, 1])
  t.equal(await openFilesIn(folder), 0)
  t.equal((await filesIn(folder)).length, 1, 'the finished one is kept')
  await t.rejects(cache.open('key', 'zstd', held.make), { code: 'shutting_down' })
  await cache.close()
})
