import { pipeline } from 'node:stream/promises'
import type { FastifyBaseLogger } from 'fastify'
import { type Coding, createEncoder } from '../../http/content-coding.ts'
import type { Text } from '../../protocol/text.ts'
import { createGrowingFile, type GrowingFile } from './growing-file.ts'
import type { PartialFile } from './partial-file.ts'

/** A file to follow, and what fills it. */
export interface Source {
  file: GrowingFile
  /** Ends the filling before its time. */
  stop(): void
  /** Resolves when the file is filled and kept, or was stopped; rejects where the filling failed. */
  over: Promise<void>
}

/**
 * Reads the text, encodes it, and writes it to the file, a page ahead of the disk at the most. Throws, before there is
 * anything to follow, where the first page or the file cannot be had. However it ends, the text has ended before it.
 */
export async function produce(
  text: Text,
  coding: Coding,
  openFile: () => Promise<PartialFile>,
  log: FastifyBaseLogger,
): Promise<Source> {
  const first = await text.next() // only a text that was begun frees what it holds when it is given up
  const partial = await openFile().catch(async (error) => {
    await text.return()
    throw error
  })
  const file = createGrowingFile(partial.handle, 0)
  const abort = new AbortController()

  async function* whole() {
    if (first.done) return
    yield first.value
    yield* text
  }
  const write = async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) {
      await partial.write(chunk)
      file.grow(chunk)
    }
  }
  const fill = async () => {
    try {
      await pipeline(whole, createEncoder(coding), write, { signal: abort.signal })
    } catch (error) {
      await partial.discard()
      if (abort.signal.aborted) return
      log.warn({ err: error }, 'an export ended before its end; those who were reading it have been cut off')
      throw error
    } finally {
      await text.return()
    }
    file.finish()
    try {
      await partial.keep()
    } catch (error) {
      log.warn({ err: error }, 'a whole export could not be kept for the next who ask')
      await partial.discard()
    }
  }
  return { file, stop: () => abort.abort(), over: fill() }
}
