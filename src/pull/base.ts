import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { decodeBody } from '../http/decompress.ts'
import { ExportError, type ExportHead, type ExportRow, readExport } from '../protocol/read-export.ts'
import { ContentError } from '../protocol/text.ts'
import { type BaseLabel, type PullSource, readLabel } from './base-label.ts'
import type { OutFiles } from './files.ts'

/** What a pull kept from earlier rounds. */
export interface LocalBase {
  /** The state of the base. */
  state: string
  /** The number of users in the base; for a shard, in that shard. */
  users: number
  /** When the pool was created, if the base has logins. */
  poolCreatedAt: string | undefined
  /** Whether `out` is exactly the file that was written with the base, in the order that is requested now. */
  isOutInStep: boolean
  /** Yields the base's user lines in id order. Throws ExportError at the end if the base was changed. */
  pages: () => AsyncGenerator<ExportRow[], void, void>
  /** Whether both files are unchanged since they were read. */
  isUntouched: () => Promise<boolean>
}

/**
 * Reads the local files. Undefined if there is no base for `source`, or a damaged one. Reads both files to the end, at the speed of
 * SHA-256.
 */
export async function readBase(files: OutFiles, source: PullSource): Promise<LocalBase | undefined> {
  const stamp = await stampOf(files)
  const label = await readBaseLabel(files.base, source)
  if (!label) return undefined
  const head = await headOf(checkedTexts(files.base, label))
  if (!head) return undefined
  const isOutInStep = label.shuffle === source.shuffle && (await sumOf(files.out)) === label.outSum
  const { poolCreatedAt } = label
  return { state: head.state, users: head.counts.added, poolCreatedAt, isOutInStep, ...reading(files, label, stamp) }
}

/** Describes both files right after they were written, with this label. */
export async function baseFromWrite(
  files: OutFiles,
  label: BasePlace,
  { state, users, poolCreatedAt }: Pick<LocalBase, 'state' | 'users' | 'poolCreatedAt'>,
): Promise<LocalBase> {
  return { state, users, poolCreatedAt, isOutInStep: true, ...reading(files, label, await stampOf(files)) }
}

/** Where the export starts in a base, and the checksum of its text. */
type BasePlace = Pick<BaseLabel, 'sum'> & { bytes: number }

const reading = (files: OutFiles, label: BasePlace, stamp: string): Pick<LocalBase, 'pages' | 'isUntouched'> => ({
  async *pages() {
    yield* (await readExport(checkedTexts(files.base, label))).pages
  },
  isUntouched: async () => (await stampOf(files)) === stamp,
})

async function readBaseLabel(path: string, source: PullSource) {
  const handle = await open(path).catch(ignoreMissing)
  try {
    return handle && (await readLabel(handle, source))
  } finally {
    await handle?.close()
  }
}

/** Returns the head of an unchanged base; undefined if the base was changed. */
async function headOf(texts: AsyncGenerator<string, void, void>): Promise<ExportHead | undefined> {
  let first = ''
  try {
    for await (const text of texts) first ||= text // read to the end, which checks the sum
    return JSON.parse(first.slice(0, first.indexOf('\n')))
  } catch (error) {
    if (error instanceof ExportError) return undefined
    throw error
  }
}

/** Yields the text after the label. Throws ExportError, at the end at the latest, if the text was changed. */
async function* checkedTexts(path: string, { bytes: start, sum }: BasePlace): AsyncGenerator<string, void, void> {
  const digest = createHash('sha256')
  async function* hashed() {
    for await (const bytes of createReadStream(path, { start })) {
      digest.update(bytes)
      yield bytes as Buffer
    }
  }
  const damaged = () => new ExportError('wrong_sum', 'the base was changed since it was written')
  try {
    yield* decodeBody(hashed(), 'identity', Number.POSITIVE_INFINITY)
  } catch (error) {
    throw error instanceof ContentError ? damaged() : error // not UTF-8: the base is damaged
  }
  if (digest.digest('hex') !== sum) throw damaged()
}

async function sumOf(path: string): Promise<string | undefined> {
  const digest = createHash('sha256')
  try {
    for await (const bytes of createReadStream(path)) digest.update(bytes)
  } catch (error) {
    return ignoreMissing(error)
  }
  return digest.digest('hex')
}

/** Returns a fingerprint of the files' metadata, to detect changes without reading them. */
async function stampOf({ out, base }: OutFiles): Promise<string> {
  const stats = await Promise.all([out, base].map((path) => stat(path, { bigint: true }).catch(ignoreMissing)))
  return stats.map((file) => file && `${file.ino} ${file.size} ${file.mtimeNs} ${file.ctimeNs}`).join()
}

function ignoreMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
}
