import type { Readable } from 'node:stream'
import { followFile } from './follow.ts'
import type { Source } from './produce.ts'

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
  /** Destroys the streams of all readers, which ends the export. */
  fail(error: Error): void
  /** Resolves when there is no producer and no reader, and the handle is closed. */
  ended: Promise<void>
}

/**
 * Shares the source that `open` returns. It ends when all followers have left, and stops a source that is still in
 * progress then. Calls `forget` as soon as no further client can join.
 */
export function shareExport(open: () => Promise<Source>, forget: () => void): SharedExport {
  const ended = Promise.withResolvers<void>()
  const streams = new Set<Readable>()
  let followers = 0
  let over = false
  let failure: Error | undefined

  const close = (source: Source) => {
    forget()
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
        // The modification time shows all processes which export is the least recently used.
        if (file.complete()) await file.handle.utimes(new Date(), new Date())
        if (failure) throw failure
      } catch (error) {
        leave(source)
        throw error
      }
      const stream = followFile(file, () => {
        streams.delete(stream)
        leave(source)
      })
      streams.add(stream)
      return { stream, bytes: file.complete() ? file.readable() : undefined }
    },
    fail,
    ended: ended.promise,
  }
}
