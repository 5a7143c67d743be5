import { answerTexts } from '../client/peer.ts'
import { ExportError, type ExportHead, type ExportRow, readExport } from '../protocol/read-export.ts'
import { ContentError } from '../protocol/text.ts'
import type { LocalBase } from './base.ts'
import type { OutFiles } from './files.ts'
import { merge, readChanges, type UserRow, usersOf } from './merge.ts'
import type { ProgressDeadline } from './progress-deadline.ts'
import { otherPool, type PullRequest, requestExport, textOf } from './request-export.ts'
import { createRoom } from './room.ts'
import { type Content, writeState } from './write-state.ts'

/** Upper limit for the number of users. No service has more, so a head with more is rejected. */
const MAX_USERS = 100_000_000

/** What to keep in sync, and from where. */
export interface Job extends PullRequest {
  files: OutFiles
  /** The maximum number of bytes that a round may write, if limited. */
  maxBytes?: number | undefined
  /** The pause after the first failed attempt, if it is not the usual one. */
  firstPauseMs?: number | undefined
  /** Called as users and bytes arrive; `total` is the number in the head. */
  onProgress: (kind: ExportHead['kind'], users: number, total: number, bytes: number) => void
}

export interface Transferred {
  kind: ExportHead['kind']
  counts: ExportHead['counts']
  local: LocalBase
  /** Body bytes on the wire, without headers. */
  bytes: number
}

/**
 * Requests the difference between the files and the current state, and applies it. With `forceFull`, requests the full export whatever
 * the files contain. Throws PeerError, ExportError, DeltaTooLarge, NoRoom, the reason of the deadline, and disk errors; the file is then
 * unchanged.
 */
export async function transfer(
  job: Job,
  local: LocalBase | undefined,
  forceFull: boolean,
  deadline: ProgressDeadline,
): Promise<Transferred> {
  try {
    return await ask(job, forceFull ? undefined : local, forceFull, deadline)
  } catch (error) {
    if (deadline.signal.aborted) throw deadline.signal.reason
    throw error instanceof ContentError ? new ExportError('malformed', error.message) : error
  }
}

async function ask(
  job: Job,
  local: LocalBase | undefined,
  forceFull: boolean,
  { signal, received }: ProgressDeadline,
): Promise<Transferred> {
  const { source, files } = job
  const requested = await requestExport(job, local, forceFull, signal)
  if ('unchanged' in requested) {
    return { kind: 'unchanged', counts: { added: 0, updated: 0, deleted: 0 }, local: requested.unchanged, bytes: 0 }
  }
  const { response, address } = requested
  const poolCreatedAt = textOf(response.headers['usersync-pool-created'])
  const isOtherPool = local !== undefined && local.poolCreatedAt !== poolCreatedAt
  try {
    const meter = { bytes: 0 }
    const texts = answerTexts(response, (bytes) => {
      meter.bytes += bytes
      received(bytes)
    })
    const { head, pages } = await readExport(texts)
    requireCounts(head)
    // A cache that is set up wrong may have the response of another address, which would be consistent in itself.
    if (address && (head.state !== address.state || (head.base ?? undefined) !== address.base))
      throw new ExportError('other_base', 'the response belongs to another address')
    if (isOtherPool && head.kind !== 'full') throw otherPool()
    const room = createRoom(files.folder, job.maxBytes)
    const total = head.counts.added + head.counts.updated + head.counts.deleted
    let users = 0
    async function* shown() {
      for await (const page of pages) {
        users += page.length
        job.onProgress(head.kind, users, total, meter.bytes)
        yield page
      }
    }
    const content = await contentOf(head, shown(), local)
    return {
      kind: head.kind,
      counts: head.counts,
      local: await writeState(files, source, { ...content, poolCreatedAt }, room),
      bytes: meter.bytes,
    }
  } finally {
    response.body.destroy()
  }
}

/** Returns the state and the users that result from applying an export to the local base. */
async function contentOf(
  head: ExportHead,
  pages: AsyncGenerator<ExportRow[], void, void>,
  local: LocalBase | undefined,
): Promise<Omit<Content, 'poolCreatedAt'>> {
  const { state, total_count: totalCount, counts } = head
  if (head.kind === 'full') return { state, totalCount, users: counts.added, pages: fullPages(pages) }
  if (!local || head.base !== local.state) throw new ExportError('other_base', 'the delta is for another base')
  const changes = await readChanges(head, pages)
  const users = local.users + counts.added - counts.deleted
  return { state, totalCount, users, pages: merge(local.pages(), changes, counts) }
}

async function* fullPages(pages: AsyncIterable<ExportRow[]>): AsyncGenerator<UserRow[], void, void> {
  for await (const page of pages) yield usersOf(page)
}

function requireCounts({ counts, total_count: total }: ExportHead): void {
  const { added, updated, deleted } = counts ?? {}
  const numbers = [added, updated, deleted, total]
  if (!numbers.every((count) => Number.isSafeInteger(count) && count >= 0))
    throw new ExportError('malformed', 'the head of the export has no counts')
  if (numbers.some((count) => count > MAX_USERS))
    throw new ExportError('malformed', `the export names more than ${MAX_USERS.toLocaleString('en-US')} users`)
}
