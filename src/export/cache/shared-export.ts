import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { FastifyBaseLogger } from 'fastify'
import { type Coding, createEncoder } from '../../http/content-coding.ts'
import type { Text } from '../../protocol/text.ts'
import type { PartialFile } from './export-file.ts'
import { createGrowingFile, followFile, type GrowingFile } from './growing-file.ts'
import type { SharedBlocks } from './shared-blocks.ts'

export interface OpenedExport {
  /**
   * The encoded export. The caller must read or destroy it. If the export fails half-way, the stream is destroyed with
   * the error.
   */
  stream: Readable
  /** The length of the export; undefined while it is produced. */
  bytes: number | undefined
}

/** An export that is being produced or read: one file handle for all readers. */
export interface SharedExport {
  /** Adds a reader. Throws the error of the source. */
  follow(): Promise<OpenedExport>
  /** Bytes on the disk, which remain until the last reader has left, also if the file is deleted. */
  bytes(): number
  /** Destroys the streams of all readers, which ends the export. */
  fail(error: Error): void
  /** Resolves when there is no producer and no reader, and the handle is closed. */
  ended: Promise<void>
}

/**
 * Shares the source that `open` returns. It ends when all followers have left, and stops a source that is still in
 * progress then. Calls `forget` as soon as no further client can join.
 */
export function shareExport(open: () => Promise<Source>, blocks: SharedBlocks, forget: () => void): SharedExport {
  const ended = Promise.withResolvers<void>()
  const streams = new Set<Readable>()
  let followers = 0
  let over = false
  let failure: Error | undefined
  let bytes = () => 0

  const close = (source: Source) => {
    forget()
    blocks.forget(source.file.handle)
    source.file.handle.close().then(ended.resolve, ended.reject)
  }
  const leave = (source: Source) => {
    followers--
    if (followers > 0) return
    if (over) close(source)
    else if (!source.file.complete()) {
      forget()
      source.stop()
    }
  }
  const fail = (error: Error) => {
    failure ??= error
    forget()
    for (const stream of streams) stream.destroy(error)
  }
  const run = async () => {
    const source = await open()
    bytes = source.file.readable
    source.over.catch(fail).finally(() => {
      over = true
      if (followers === 0) close(source)
    })
    return source
  }
  const opened = run()
  opened.catch(() => {
    forget()
    ended.resolve()
  })

  return {
    async follow() {
      followers++ // before the first await: a pending follower keeps the source alive
      const source = await opened
      const { file } = source
      try {
        // The modification time shows all processes which export is the least recently used. A read-only disk does not allow it.
        if (file.complete()) await file.handle.utimes(new Date(), new Date()).catch(() => {})
        if (failure) throw failure
      } catch (error) {
        leave(source)
        throw error
      }
      const stream = followFile(file, blocks, () => {
        streams.delete(stream)
        leave(source)
      })
      streams.add(stream)
      return { stream, bytes: file.complete() ? file.readable() : undefined }
    },
    bytes: () => bytes(),
    fail,
    ended: ended.promise,
  }
}

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
