import { readdirSync, readlinkSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib'
import { pino } from 'pino'
import type { Test as TapTest } from 'tap'
import { createExportCache } from '../../../src/export/cache/export-cache.ts'
import type { Coding } from '../../../src/http/content-coding.ts'

const DECODERS: Record<Coding, (body: Buffer) => Buffer> = {
  zstd: (body) => zstdDecompressSync(body),
  br: (body) => brotliDecompressSync(body),
  gzip: (body) => gunzipSync(body),
  deflate: (body) => inflateSync(body),
  identity: (body) => body,
}

export const decoded = (coding: Coding, body: Buffer) => DECODERS[coding](body).toString()

/** The decoded text of a stream. */
export const textOf = async (stream: Readable, coding: Coding = 'identity') => decoded(coding, await buffer(stream))

/** A folder that is removed when the test ends. */
export async function makeFolder(t: TapTest): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'export-cache-'))
  t.teardown(() => rm(folder, { recursive: true }))
  return folder
}

/** A cache in the folder, and the warnings that it logged. It is closed when the test ends. */
export async function makeCache(t: TapTest, folder: string, limitBytes = 1_000_000_000) {
  const warnings: { msg: string; err: { message: string } }[] = []
  const log = pino({ base: null }, { write: (line: string) => void warnings.push(JSON.parse(line)) })
  const cache = await createExportCache({ folder, limitBytes, log })
  t.teardown(() => cache.close())
  return Object.assign(cache, { warnings })
}

/** A text whose pages the test provides, with counts of its use. */
export function controlledText() {
  const pages: string[] = []
  let more = Promise.withResolvers<void>()
  let last = false
  let failure: Error | undefined
  let made = 0
  let read = 0
  let freed = 0
  const wake = () => {
    more.resolve()
    more = Promise.withResolvers()
  }
  async function* make(): AsyncGenerator<string, void, void> {
    made++
    try {
      for (;;) {
        const page = pages.shift()
        if (page !== undefined) {
          read++
          yield page
        } else if (failure) throw failure
        else if (last) return
        else await more.promise
      }
    } finally {
      await Promise.resolve() // releasing a snapshot takes a while
      freed++
    }
  }
  return {
    make,
    /** How often it was started, how many pages were read, and how often it has ended. */
    counts: () => ({ made, read, freed }),
    give(...next: string[]) {
      pages.push(...next)
      wake()
    },
    end() {
      last = true
      wake()
    },
    fail(error: Error) {
      failure = error
      wake()
    },
  }
}

/** A text whose pages are available immediately. */
export const text = (...pages: string[]) =>
  async function* (): AsyncGenerator<string, void, void> {
    for (const page of pages) {
      await Promise.resolve()
      yield page
    }
  }

/** Names of the files in the folder, sorted. */
export const filesIn = async (folder: string) => (await readdir(folder)).sort()

/**
 * The number of files in the folder that this process has open, including deleted ones. Only Linux reports it;
 * elsewhere 0.
 */
export function openFilesIn(folder: string): number {
  if (process.platform !== 'linux') return 0
  return readdirSync('/proc/self/fd').filter((handle) => pathOf(handle).startsWith(`${folder}/`)).length
}

function pathOf(handle: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${handle}`)
  } catch {
    return '' // the handle with which the folder was read
  }
}

/** Waits, at most 10 s, until the condition is true; for what happens after the last response. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`condition not met within 10 s: ${isSo}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
