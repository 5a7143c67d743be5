import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import fc from 'fast-check'
import { CODINGS, type Coding } from '../../../src/http/content-coding.ts'
import { sized } from '../../size.ts'
import { suite } from '../../suite.ts'
import { decoded, filesIn, makeCache, makeFolder, openFilesIn, until } from './harness.ts'

const t = suite()

const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn++) await turnOfTheLoop()
}

const reader = fc.record({
  joinsAfter: fc.nat(30),
  turnsARead: fc.nat(4),
  leavesAfter: fc.option(fc.nat(5), { freq: 3 }),
})

/** Reads chunk by chunk with pauses. Undefined if the reader left before the end. */
async function readSlowly(
  stream: Readable,
  { turnsARead, leavesAfter }: { turnsARead: number; leavesAfter: number | null },
) {
  const chunks: Buffer[] = []
  if (leavesAfter === 0) stream.destroy()
  if (leavesAfter === 0) return undefined
  for await (const chunk of stream) {
    chunks.push(chunk)
    await turns(turnsARead)
    if (chunks.length === leavesAfter) return undefined // which destroys the stream
  }
  return Buffer.concat(chunks)
}

t.test('readers get the same complete text while others join or leave', async (t) => {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder)
  let run = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ bytes: fc.nat(200_000), turnsBefore: fc.nat(3) }), { maxLength: 12 }),
      fc.array(reader, { minLength: 1, maxLength: 6 }),
      fc.constantFrom<Coding>(...CODINGS),
      async (pages, readers, coding) => {
        const key = `run ${run++}`
        const texts = pages.map(({ bytes }, n) => `${n}:${'é'.repeat(bytes / 2)}\n`)
        let made = 0
        let freed = 0
        async function* make() {
          made++
          try {
            for (const [n, text] of texts.entries()) {
              await turns(pages[n]?.turnsBefore ?? 0)
              yield text
            }
          } finally {
            freed++
          }
        }
        const read = readers.map(async (each) => {
          await turns(each.joinsAfter)
          const { stream, bytes } = await cache.open(key, coding, make)
          const body = await readSlowly(stream, each)
          return body && (bytes ?? body.length) === body.length && decoded(coding, body)
        })
        const whole = texts.join('')
        const bodies = await Promise.all(read)
        await until(() => openFilesIn(folder) === 0)
        const right = bodies.every(
          (body, n) => body === whole || (body === undefined && readers[n]?.leavesAfter !== null),
        )
        // It is created again only if all earlier readers left early.
        return right && freed === made && (made === 1 || readers.some(({ leavesAfter }) => leavesAfter !== null))
      },
    ),
    { numRuns: sized(15, 40) },
  )
  await cache.close()
  t.ok((await filesIn(folder)).every((name) => !name.endsWith('.partial')))
})

t.test('neither a fast text nor a slow reader fills the memory', async (t) => {
  const folder = await makeFolder(t)
  const cache = await makeCache(t, folder)
  const PAGE = 'x'.repeat(600_000)
  const PAGES = sized(40, 100)
  let given = 0
  let ahead = 0
  async function* fast() {
    while (given < PAGES) {
      yield PAGE
      given++
      const [name = ''] = await filesIn(folder)
      ahead = Math.max(ahead, given - (await stat(join(folder, name))).size / PAGE.length)
    }
  }
  const { stream } = await cache.open('key', 'identity', fast)
  stream.read(0) // the reader has started, but reads nothing
  let maxBuffered = 0
  const isGiven = () => {
    maxBuffered = Math.max(maxBuffered, stream.readableLength)
    return given === PAGES
  }
  await until(isGiven)
  t.ok(ahead <= 3, `${ahead} pages ahead of the disk`)
  t.ok(maxBuffered <= 131_072, `${maxBuffered} bytes buffered for the reader`)
  stream.destroy()
  await until(() => openFilesIn(folder) === 0)
})
