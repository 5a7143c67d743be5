import type { Readable } from 'node:stream'
import { followFile } from './follow.ts'
import type { Source } from './produce.ts'

export interface OpenedExport {
  /** The encoded export. Must be read or destroyed. It is destroyed with the error where the export fails half-way. */
  stream: Readable
  /** The length of the export; undefined while it is still made. */
  bytes: number | undefined
}

/** An export for as long as somebody makes or reads it: one file handle, however many there are. */
export interface SharedExport {
  /** Joins those who read it. Throws what the source threw. */
  follow(): Promise<OpenedExport>
  /** Destroys the streams of all who read it, and with that ends it. */
  fail(error: Error): void
  /** Resolves when nobody makes or reads it any more and its handle is closed. */
  ended: Promise<void>
}

/**
 * Shares what `open` gives. It ends when all who followed are gone, and is stopped if it is still made then. `forget` is
 * called as soon as nobody may join any more.
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
      followers++ // before the first wait: who has asked keeps the source alive
      const source = await opened
      const { file } = source
      try {
        // Its age tells, to other processes too, which export was not used for longest.
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
