import type { FastifyBaseLogger } from 'fastify'
import { retryLater } from '../../errors.ts'
import type { Coding } from '../../http/content-coding.ts'
import type { Text } from '../../protocol/text.ts'
import { openCacheFolder } from './cache-folder.ts'
import { createPartialFile, openFinished } from './export-file.ts'
import { createGrowingFile } from './growing-file.ts'
import { createSharedBlocks } from './shared-blocks.ts'
import { type OpenedExport, produce, type SharedExport, type Source, shareExport } from './shared-export.ts'

/**
 * Encoded exports on the local disk. Each is produced once and read by all clients that ask for it, each at its own
 * speed.
 */
export interface ExportCache {
  /**
   * Opens the finished or growing export of this key and coding. If there is none, calls `make` once, also for all
   * callers that arrive meanwhile, and encodes and writes its text while they read. So the text must depend only on the
   * key. The text may acquire resources (a place, a snapshot) at its first read, and must release them in a `finally`.
   * If it fails before its first page, all waiting callers throw its error; later, the error destroys their streams.
   * Throws `shutting_down`, and CacheFull if a new export finds no room.
   */
  open(key: string, coding: Coding, make: () => Text): Promise<OpenedExport>
  /**
   * Whether an export of about this size should use the cache: not if it would evict everything else, or if the disk
   * failed.
   */
  fits(bytes: number): boolean
  /** Opens no further exports, destroys the open streams, and resolves when every file is closed. */
  close(): Promise<void>
}

/** Thrown if clients still read so many exports that a new one could fill the disk: an evicted one remains there while it is read. */
export class CacheFull extends Error {
  override name = 'CacheFull'
}

/** Maximum size of the exports that are read at once, as a multiple of the limit: the current states, and those before. */
const MAX_READ = 2

/**
 * Creates the cache of a folder, which other processes may share. Its files, growing ones included, stay within
 * `limitBytes`, besides deleted ones that are still read. Throws if the folder cannot be created or read.
 */
export async function createExportCache(options: {
  folder: string
  limitBytes: number
  log: FastifyBaseLogger
}): Promise<ExportCache> {
  const { limitBytes, log } = options
  const folder = await openCacheFolder(options.folder, limitBytes)
  const blocks = createSharedBlocks()
  const joinable = new Map<string, SharedExport>()
  const living = new Set<SharedExport>()
  let closing = false
  const refusal = () =>
    retryLater('shutting_down', 'The service is shutting down. Retry, so that another replica answers.', 1)

  const share = (path: string, coding: Coding, make: () => Text) => {
    const forget = () => {
      if (joinable.get(path) === shared) joinable.delete(path)
    }
    const source = async () => {
      const finished = await folder.watch(openFinishedSource(path))
      if (finished) return finished
      const read = [...living].reduce((total, { bytes }) => total + bytes(), 0)
      if (read > MAX_READ * limitBytes) throw new CacheFull()
      return await produce(make(), coding, () => createPartialFile(folder, path), log)
    }
    const shared = shareExport(source, blocks, forget)
    joinable.set(path, shared)
    living.add(shared)
    shared.ended.finally(() => living.delete(shared)).catch(() => {})
    return shared
  }

  return {
    open(key, coding, make) {
      if (closing) return Promise.reject(refusal())
      const path = folder.finishedPath(key, coding)
      return (joinable.get(path) ?? share(path, coding, make)).follow()
    },
    fits: folder.fits,
    async close() {
      closing = true
      for (const shared of living) shared.fail(refusal())
      await Promise.all([...living].map(({ ended }) => ended))
    },
  }
}

/** Opens the finished file as a complete source. Returns undefined if there is none. */
async function openFinishedSource(path: string): Promise<Source | undefined> {
  const finished = await openFinished(path)
  if (!finished) return undefined
  const file = createGrowingFile(finished.handle, finished.bytes)
  file.finish()
  return { file, stop: () => {}, over: Promise.resolve() }
}
