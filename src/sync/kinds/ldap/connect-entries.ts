import { PeerError } from '../../../client/peer.ts'
import { byRequest } from '../by-request.ts'
import type { Sink, SinkAddress } from '../kind.ts'
import type { Directory } from './directory.ts'
import { changeEntries, createEntries, findEntries, removeEntries } from './entries.ts'
import { faultOf } from './faults.ts'
import { compileEntry, type EntryMapping, type RenderedEntry } from './mapping.ts'
import { checkSchema } from './schema.ts'

/** Opens connections to a directory on first use, one for each batch at a time. */
export function connectEntries({ url, key, mapping, signal }: SinkAddress): Sink<RenderedEntry> {
  const entries = mapping as EntryMapping
  const { bind_dn: bindDn, base } = entries
  const { rdn: naming, mark: marking } = compileEntry(entries)
  const place = { base, naming, marking }
  const idle: Directory[] = []

  /** Runs a task with a connection that no other task uses. */
  async function using<Result>(task: (directory: Directory) => Promise<Result>): Promise<Result> {
    try {
      const directory = await take()
      try {
        return await task(directory)
      } finally {
        idle.push(directory)
      }
    } catch (error) {
      signal.throwIfAborted()
      throw faultOf(error)
    }
  }

  async function take(): Promise<Directory> {
    for (let directory = idle.pop(); directory; directory = idle.pop()) {
      if (directory.isOpen()) return directory
      await directory.close()
    }
    // A login with a name and no password succeeds as anonymous at many servers (RFC 4513, section 5.1.2).
    if (key === undefined) throw new PeerError('unauthorized', 'key: mapping.bind_dn needs its password.')
    const { openDirectory } = await import('./directory.ts') // 50 ms and 11 MB, for this kind only
    return await openDirectory({ url, bindDn, password: key, signal })
  }

  return byRequest<RenderedEntry>(
    {
      probe: () => using((directory) => checkSchema(directory, entries)),
      find: (users) => using((directory) => findEntries(directory, place, users)),
      create: (users) => using((directory) => createEntries(directory, users)),
      change: (users) => using((directory) => changeEntries(directory, place, users)),
      remove: (users) => using((directory) => removeEntries(directory, place, users)),
      close: async () => void (await Promise.all(idle.map((directory) => directory.close()))),
    },
    signal,
  )
}
