import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { Problem } from '../errors.ts'
import { decodeBody } from '../http/decompress.ts'
import { ExportError, type ExportHead, type ExportRow, readExport } from '../protocol/read-export.ts'
import type { Asked } from './base-label.ts'
import { type BaseLabel, readLabel } from './base-label.ts'
import type { OutFiles } from './files.ts'

/** What a pull has of earlier rounds. */
export interface Held {
  /** The state that the base tells. */
  state: string
  /** Users in the base; of a shard it is its part. */
  users: number
  /** Whether `out` tells the same state as the base, to the byte. */
  isOutInStep: boolean
  /** The base's user lines in id order. Throws ExportError at the end where the base is not as it was written. */
  pages: () => AsyncGenerator<ExportRow[], void, void>
  /** Whether somebody has written to one of the files since. */
  isUntouched: () => Promise<boolean>
}

/**
 * Reads what is held; undefined where there is no base for `asked`, or a damaged one. Both files are read to the end, at the
 * speed of SHA-256.
 */
export async function readHeld(files: OutFiles, asked: Asked): Promise<Held | undefined> {
  const stamp = await stampOf(files)
  const label = await labelOf(files.base, asked)
  if (!label) return undefined
  const head = await headOf(checkedTexts(files.base, label))
  if (!head) return undefined
  const isOutInStep = (await sumOf(files.out)) === label.outSum
  return { state: head.state, users: head.counts.added, isOutInStep, ...reading(files, label, stamp) }
}

/** What is held when both files were just written, with this label. */
export async function justWritten(
  files: OutFiles,
  label: BasePlace,
  { state, users }: Pick<Held, 'state' | 'users'>,
): Promise<Held> {
  return { state, users, isOutInStep: true, ...reading(files, label, await stampOf(files)) }
}

/** Where the export begins in a base, and the sum of its text. */
type BasePlace = Pick<BaseLabel, 'sum'> & { bytes: number }

const reading = (files: OutFiles, label: BasePlace, stamp: string): Pick<Held, 'pages' | 'isUntouched'> => ({
  async *pages() {
    yield* (await readExport(checkedTexts(files.base, label))).pages
  },
  isUntouched: async () => (await stampOf(files)) === stamp,
})

async function labelOf(path: string, asked: Asked) {
  const handle = await open(path).catch(ignoreMissing)
  try {
    return handle && (await readLabel(handle, asked))
  } finally {
    await handle?.close()
  }
}

/** The head of a base that is as it was written; undefined of another one. */
async function headOf(texts: AsyncGenerator<string, void, void>): Promise<ExportHead | undefined> {
  let first = ''
  try {
    for await (const text of texts) first ||= text // on to the end, where the sum is looked at
    return JSON.parse(first.slice(0, first.indexOf('\n')))
  } catch (error) {
    if (error instanceof ExportError) return undefined
    throw error
  }
}

/** The text after the label. Throws ExportError where it is not as it was written, at its end at the latest. */
async function* checkedTexts(path: string, { bytes: start, sum }: BasePlace): AsyncGenerator<string, void, void> {
  const digest = createHash('sha256')
  async function* hashed() {
    for await (const bytes of createReadStream(path, { start })) {
      digest.update(bytes)
      yield bytes as Buffer
    }
  }
  const damaged = () => new ExportError('wrong_sum', 'the base is not as it was written')
  try {
    yield* decodeBody(hashed(), 'identity', Number.POSITIVE_INFINITY)
  } catch (error) {
    throw error instanceof Problem ? damaged() : error // no UTF-8 any more
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

/** Tells whether the files are still the same ones, without reading them. */
async function stampOf({ out, base }: OutFiles): Promise<string> {
  const stats = await Promise.all([out, base].map((path) => stat(path, { bigint: true }).catch(ignoreMissing)))
  return stats.map((file) => file && `${file.ino} ${file.size} ${file.mtimeNs} ${file.ctimeNs}`).join()
}

function ignoreMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
}
