import { readdirSync, statSync } from 'node:fs'
import { mkdir, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from '../../suite.ts'
import { controlledText, filesIn, makeCache, makeFolder, openFilesIn, text, textOf, until } from './harness.ts'

const t = suite()

const LIMIT = 1_000_000
const pageOf = (key: string) => key.repeat(50_000)

type Cache = Awaited<ReturnType<typeof makeCache>>

/** Puts an export of 300,000 bytes into the cache, or reads it from there. Returns whether it had to be created. */
async function use(cache: Cache, key: string, folder: string): Promise<boolean> {
  const source = controlledText()
  source.give(...Array.from({ length: 6 }, () => pageOf(key)))
  source.end()
  const { stream } = await cache.open(key, 'identity', source.make)
  if ((await textOf(stream)) !== key.repeat(300_000)) throw new Error('different text')
  await until(() => openFilesIn(folder) === 0)
  await sleep(2) // files used within the same millisecond have the same age
  return source.counts().made === 1
}

/** The sizes of all files at one moment: nothing else in this process runs meanwhile. */
function bytesIn(folder: string): number {
  const sizes = readdirSync(folder).map((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0)
  return sizes.reduce((a, b) => a + b, 0)
}

t.test('the least recently used export is evicted', async (t) => {
  const folder = await makeFolder(t)
  const [cache, other] = [await makeCache(t, folder, LIMIT), await makeCache(t, folder, LIMIT)]
  for (const key of ['a', 'b', 'c']) t.ok(await use(cache, key, folder))
  t.notOk(await use(other, 'a', folder), 'created by another cache in the folder, and used by this one')
  t.ok(await use(other, 'd', folder))
  t.equal((await filesIn(folder)).length, 3)
  for (const key of ['a', 'c', 'd']) t.notOk(await use(cache, key, folder), key)
  t.ok(await use(cache, 'b', folder))
})

t.test('the files together never exceed the limit', async (t) => {
  const folder = await makeFolder(t)
  const caches = [await makeCache(t, folder, LIMIT), await makeCache(t, folder, LIMIT)]
  let most = 0
  let watching = true
  const watch = async () => {
    for (; watching; await sleep(2)) most = Math.max(most, bytesIn(folder))
  }
  const watched = watch()
  const streams = Array.from({ length: 16 }, async (_, n) => {
    const cache = caches[n % 2] as Cache
    const { stream } = await cache.open(`key ${n}`, 'identity', text(...Array.from({ length: 4 }, () => pageOf('x'))))
    return (await textOf(stream)).length
  })
  t.strictSame(new Set(await Promise.all(streams)), new Set([200_000]), 'all were delivered')
  for (const cache of caches) await cache.close()
  watching = false
  await watched
  t.ok(most <= LIMIT && most > LIMIT / 4, `${most} bytes`)
  t.ok((await filesIn(folder)).every((name) => /^[0-9a-f]{64}$/.test(name)))
})

t.test('an export larger than the cache is delivered to its readers, but not kept', async (t) => {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder, LIMIT)
  t.strictSame([cache.fits(LIMIT), cache.fits(LIMIT + 1)], [true, false])
  const source = controlledText()
  source.give(...Array.from({ length: 21 }, () => pageOf('x')))
  const { stream: early } = await cache.open('key', 'identity', source.make)
  await until(async () => source.counts().read === 21 && (await filesIn(folder)).length === 0)
  const { stream: late } = await cache.open('key', 'identity', source.make)
  const texts = [textOf(early), textOf(late)]
  source.end()
  t.strictSame(
    (await Promise.all(texts)).map(({ length }) => length),
    [1_050_000, 1_050_000],
  )
  await until(() => openFilesIn(folder) === 0)
  t.strictSame(await filesIn(folder), [])
  t.strictSame(source.counts(), { made: 1, read: 21, freed: 1 })
  t.strictSame(cache.warnings, [])
  const again = await cache.open('key', 'identity', text('new'))
  t.equal(await textOf(again.stream), 'new')
})

t.test('a reader of an evicted export can finish reading', async (t) => {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder, LIMIT)
  await use(cache, 'a', folder)
  const { stream } = await cache.open('a', 'identity', text())
  for (const key of ['b', 'c', 'd', 'e']) {
    const { stream } = await cache.open(key, 'identity', text(...Array.from({ length: 6 }, () => pageOf(key))))
    await textOf(stream)
  }
  await until(async () => (await filesIn(folder)).length === 3)
  t.equal(await textOf(stream), 'a'.repeat(300_000))
})

t.test(
  'exports that are read, also after their eviction, leave no room for new ones beyond twice the limit',
  async (t) => {
    const folder = await makeFolder(t)
    const cache = await makeCache(t, folder, LIMIT)
    const open = (key: string) => cache.open(key, 'identity', text(...Array.from({ length: 6 }, () => pageOf(key))))
    const unread = []
    for (const key of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) unread.push((await open(key)).stream)
    await until(async () => (await filesIn(folder)).every((name) => !name.endsWith('.partial')))
    await t.rejects(open('h'), { name: 'CacheFull' })
    const again = await open('a')
    t.equal(await textOf(again.stream), 'a'.repeat(300_000), 'another reader of one of them needs no room')
    for (const stream of unread) stream.destroy()
    await until(() => openFilesIn(folder) === 0)
    t.ok(await use(cache, 'h', folder))
  },
)

t.test('a lower limit applies from the start, and other files are neither counted nor deleted', async (t) => {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder, LIMIT)
  for (const key of ['a', 'b', 'c']) await use(cache, key, folder)
  const [own = ''] = await filesIn(folder)
  const foreign = ['README', `${own}.bak`, own.toUpperCase(), `${own}.${'0'.repeat(16)}.tmp`, own.slice(1)]
  for (const name of foreign) await writeFile(join(folder, name), pageOf('f'))
  await mkdir(join(folder, '0'.repeat(64)))
  await utimes(join(folder, '0'.repeat(64)), new Date(0), new Date(0)) // least recently used
  const smaller = await makeCache(t, folder, 350_000)
  t.strictSame(await filesIn(folder), [...foreign, '0'.repeat(64), ...(await ownFiles(folder))].sort())
  t.equal((await ownFiles(folder)).length, 1)
  t.notOk(await use(smaller, 'c', folder))
})

const ownFiles = async (folder: string) =>
  (await filesIn(folder)).filter((name) => /^[0-9a-f]{64}$/.test(name) && name !== '0'.repeat(64))

t.test(
  'partial files of dead processes are removed at the start and later; those of live processes stay',
  async (t) => {
    const folder = await makeFolder(t)
    const [dead, living] = ['1', '2'].map((digit) => `${'0'.repeat(64)}.${digit.repeat(16)}.partial`) as [
      string,
      string,
    ]
    const old = new Date(Date.now() - 15 * 60_000 - 1_000)
    const recent = new Date(Date.now() - 14 * 60_000)
    const put = async (name: string, time: Date) => {
      await writeFile(join(folder, name), 'cut')
      await utimes(join(folder, name), time, time)
    }
    await put(dead, old)
    await put(living, recent)
    const cache = await makeCache(t, folder, LIMIT)
    t.strictSame(await filesIn(folder), [living])
    await put(dead, old)
    await use(cache, 'a', folder)
    const files = await filesIn(folder)
    t.equal(files.length, 2)
    t.ok(files.includes(living))
  },
)

t.test('a truncated file is not served, but created again', async (t) => {
  const folder = await makeFolder(t)
  const whole = 'abc\n'.repeat(10_000)
  for (const cut of [39_999 + 8, 40_000, 39_992, 4_096, 8, 7, 0]) {
    const cache = await makeCache(t, folder)
    const { stream } = await cache.open('key', 'identity', text(whole))
    t.equal(await textOf(stream), whole)
    await cache.close()
    const [name = ''] = await filesIn(folder)
    t.equal((await stat(join(folder, name))).size, 40_008)
    await truncate(join(folder, name), cut)
  }
  t.equal(openFilesIn(folder), 0)
})

t.test('a file that is truncated while it is read ends the stream with an error', async (t) => {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder)
  await use(cache, 'a', folder)
  const { stream } = await cache.open('a', 'identity', text())
  const [name = ''] = await filesIn(folder)
  await truncate(join(folder, name), 200_000)
  await t.rejects(textOf(stream), { message: /truncated/ })
})
