import type { Answer } from '../export/answer.ts'
import { lineOfCells } from '../export/csv.ts'
import { FORMATS } from '../export/format.ts'
import { endLine, headLine } from '../export/ndjson.ts'
import { syncFolder } from '../process/sync-folder.ts'
import { ExportError } from '../protocol/read-export.ts'
import { StateDigest } from '../protocol/state.ts'
import { characters } from '../protocol/text.ts'
import { parseUserLine } from '../protocol/user-line.ts'
import { filtersOf } from '../states/filter.ts'
import { baseFromWrite, type LocalBase } from './base.ts'
import { type PullSource, writeLabel } from './base-label.ts'
import { createPart, type OutFiles } from './files.ts'
import type { UserRow } from './merge.ts'
import type { Room } from './room.ts'
import { shuffled } from './shuffle.ts'

/** A state and its users in id order, as they arrive. */
export interface Content {
  state: string
  /** Users that the filter selects, in all shards. */
  totalCount: number
  /** The expected number of users in `pages`. */
  users: number
  /** When the pool was created, if the users have logins. */
  poolCreatedAt: string | undefined
  pages: AsyncIterable<UserRow[]>
}

/**
 * Writes base and out in one pass, checks that the users match the state, and only then replaces both files, each atomically. A
 * crash between the two leaves an out of the previous state. The base's label shows this, and the next round rewrites the out.
 * Throws ExportError if the users do not match the state, and NoRoom; both files are then unchanged.
 */
export async function writeState(
  files: OutFiles,
  source: PullSource,
  content: Content,
  room: Room,
): Promise<LocalBase> {
  const { state, totalCount, users, poolCreatedAt } = content
  const check = createCheck(source, content)
  const lineOf = source.format === 'csv' ? csvLineOf(source) : ({ line }: UserRow) => line
  const counts = { added: users, updated: 0, deleted: 0 }
  const head = { kind: 'full', reason: 'none', base: null, state, totalCount, counts } as const
  const isSecret = source.credentials.length > 0
  await using base = await createPart(files.base, 0o600, room, writeLabel(source, poolCreatedAt))
  await using out = await createPart(files.out, isSecret ? 0o600 : 0o666, room)

  async function* writtenPages() {
    for await (const page of content.pages) {
      check.add(page)
      await base.write(page.map(({ line }) => `${line}\n`).join(''))
      yield page
    }
  }
  async function* pages(separator: string) {
    let before = ''
    const { shuffle } = source
    const begin = Buffer.byteLength(writeLabel(source, poolCreatedAt) + headLine(answer))
    const ordered = shuffle === undefined ? writtenPages() : shuffled(writtenPages(), shuffle, { base, begin })
    for await (const page of ordered) {
      if (page.length === 0) continue
      yield before + page.map(lineOf).join(separator)
      before = separator
    }
  }
  const answer: Answer = { ...head, content: { kind: 'full', pages } }
  await base.write(headLine(answer))
  const context = { filters: filtersOf(source), credentials: source.credentials, reproducible: false }
  for await (const text of characters(FORMATS[source.format].write(answer, context))) await out.write(text)
  await base.write(endLine(answer))
  check.end()

  const label = writeLabel(source, poolCreatedAt, base.sum(), out.sum())
  await base.writeReserved(label)
  for (const part of [base, out]) await part.finish()
  for (const part of [base, out]) await part.replace()
  await syncFolder(files.folder)
  return await baseFromWrite(
    files,
    { bytes: Buffer.byteLength(label), sum: base.sum() },
    { state, users, poolCreatedAt },
  )
}

/** Checks order, number and state of the users. The state of a shard cannot be computed: its name covers the whole filter. */
function createCheck(source: PullSource, { state, totalCount, users }: Content) {
  const digest = source.shard ? undefined : new StateDigest()
  let lastId = ''
  let count = 0
  return {
    add(page: UserRow[]) {
      for (const { id, line } of page) {
        if (id <= lastId) throw new ExportError('malformed', 'the users are not in id order')
        lastId = id
        digest?.add(source.credentials.length > 0 ? partsOf(line).bare : line)
      }
      count += page.length
      if (count > users) throw wrongSum()
    },
    end() {
      if (count !== users) throw wrongSum()
      if (digest && (digest.name() !== state || count !== totalCount)) throw wrongSum()
    },
  }
}

const csvLineOf =
  ({ credentials }: PullSource) =>
  ({ line }: UserRow) => {
    const { cells, credentials: values } = partsOf(line)
    return lineOfCells([...cells, ...credentials.map((name) => values.get(name) ?? null)])
  }

function partsOf(line: string) {
  const parts = parseUserLine(line)
  if (!parts) throw new ExportError('malformed', 'a line is not a user line')
  return parts
}

const wrongSum = () => new ExportError('wrong_sum', 'the users do not match the state that the export names')
