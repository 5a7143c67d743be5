import { pipeline } from 'node:stream/promises'
import type { FastifyBaseLogger } from 'fastify'
import { type Coding, createEncoder } from '../../http/content-coding.ts'
import type { Text } from '../../protocol/text.ts'
import { createGrowingFile, type GrowingFile } from './growing-file.ts'
import type { PartialFile } from './partial-file.ts'

/** A file to follow, and the producer that fills it. */
export interface Source {
  file: GrowingFile
  /** Stops the producer early. */
  stop(): void
  /** Resolves when the file is complete and stored, or was stopped; rejects if the producer fails. */
  over: Promise<void>
}

/**
 * Reads the text, encodes it, and writes it to the file, at most one page ahead of the disk. Throws before there is
 * anything to follow if the first page or the file fails. The text has always ended before this ends.
 */
export async function produce(
  text: Text,
  coding: Coding,
  openFile: () => Promise<PartialFile>,
  log: FastifyBaseLogger,
): Promise<Source> {
  const first = await text.next() // a generator releases its resources only after its first step
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
      log.warn({ err: error }, 'export failed, readers disconnected')
      throw error
    } finally {
      await text.return()
    }
    file.finish()
    try {
      await partial.keep()
    } catch (error) {
      log.warn({ err: error }, 'export not cached')
      await partial.discard()
    }
  }
  return { file, stop: () => abort.abort(), over: fill() }
}
