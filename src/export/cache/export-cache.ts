import type { FastifyBaseLogger } from 'fastify'
import { Problem } from '../../errors.ts'
import type { Coding } from '../../http/content-coding.ts'
import type { Text } from '../../protocol/text.ts'
import { openCacheFolder } from './cache-folder.ts'
import { openFinished } from './finished-file.ts'
import { createGrowingFile } from './growing-file.ts'
import { createPartialFile } from './partial-file.ts'
import { produce, type Source } from './produce.ts'
import { type OpenedExport, type SharedExport, shareExport } from './shared-export.ts'

/** Encoded exports on the local disk: each is made once, and read by all who ask for it, at the speed of each. */
export interface ExportCache {
  /**
   * Opens the finished or growing export of this key and coding. Where there is none, `make` is called once, also for all
   * who ask meanwhile, and its text is encoded and written while they read; so it must depend on the key alone. The text
   * may take what it needs (a place, a snapshot) once it is first read, and must give it back in a `finally`. What it
   * throws before its first page, all who wait are thrown; later it destroys their streams. Throws `shutting_down`.
   */
  open(key: string, coding: Coding, make: () => Text): Promise<OpenedExport>
  /** Whether an export of about so many bytes should come here: not if it would drive out all else, or the disk failed. */
  fits(bytes: number): boolean
  /** Opens no more, destroys the streams that are left, and resolves when every file is closed. */
  close(): Promise<void>
}

/**
 * The cache of a folder, which other processes may share. Its files together stay within `limitBytes`, growing ones
 * included. Throws where the folder cannot be made or read.
 */
export async function createExportCache(options: {
  folder: string
  limitBytes: number
  log: FastifyBaseLogger
}): Promise<ExportCache> {
  const { limitBytes, log } = options
  const folder = await openCacheFolder(options.folder, limitBytes)
  const joinable = new Map<string, SharedExport>()
  const living = new Set<SharedExport>()
  let closing = false
  const refusal = () => new Problem('shutting_down', 'The service is stopping. Try another replica.')

  const share = (path: string, coding: Coding, make: () => Text) => {
    const forget = () => {
      if (joinable.get(path) === shared) joinable.delete(path)
    }
    const source = async () =>
      (await folder.watch(openFinishedSource(path))) ??
      produce(make(), coding, () => createPartialFile(folder, path), log)
    const shared = shareExport(source, forget)
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

/** The finished file as a source that has nothing left to do; undefined where there is none. */
async function openFinishedSource(path: string): Promise<Source | undefined> {
  const finished = await openFinished(path)
  if (!finished) return undefined
  const file = createGrowingFile(finished.handle, finished.bytes)
  file.finish()
  return { file, stop: () => {}, over: Promise.resolve() }
}
