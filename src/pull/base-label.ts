import type { FileHandle } from 'node:fs/promises'
import { type ExportRequest, filtersOf } from '../export/export-request.ts'

/** Which export is asked for, and in which form it is kept. */
export interface Asked extends Pick<ExportRequest, 'pool' | 'filter' | 'shard' | 'credentials' | 'format'> {
  /** Where the service listens. */
  url: string
}

/** What a base is bound to: one that was made for something else is not used. */
export const boundTo = (asked: Asked) => ({
  url: asked.url,
  ...filtersOf(asked),
  include: asked.credentials,
  format: asked.format,
})

/**
 * The path of the export as NDJSON, with its query. `base` is the state that is held; `isAnew` asks for everything
 * whatever is held.
 */
export function exportPath(asked: Asked, { base, isAnew }: { base?: string | undefined; isAnew: boolean }): string {
  const { pool, filter, shard, credentials } = asked
  const query = new URLSearchParams({ format: 'ndjson', pool })
  if (filter.batchId !== undefined) query.set('batch_id', filter.batchId)
  query.set('test_users_only', String(filter.testUsersOnly))
  query.set('bulk_users_only', String(filter.bulkUsersOnly))
  if (shard) query.set('shard', `${shard.index}/${shard.count}`)
  if (credentials.length > 0) query.set('include', credentials.join(','))
  if (base !== undefined) query.set('base', base)
  if (isAnew) query.set('differential', 'false')
  return `/v1/users/export?${query}`
}

/** The first line of a base: what it is bound to, and how damage is noticed. The rest is a full NDJSON export. */
export interface BaseLabel {
  bound: object
  /** SHA-256 of what follows this line. */
  sum: string
  /** SHA-256 of the file that was made together with this base. */
  outSum: string
}

/** A label is far shorter; a first line that is longer is none. */
const LONGEST = 16_384

const NO_SUM = '0'.repeat(64)

/** The label with its line end. Without the sums it has the same length, so that they can be put in later. */
export function writeLabel(asked: Asked, sum = NO_SUM, outSum = NO_SUM): string {
  return `${JSON.stringify({ bound: boundTo(asked), sum, outSum } satisfies BaseLabel)}\n`
}

/** The label of a base that was made for `asked`, and its bytes; undefined where there is another one, or none. */
export async function readLabel(
  handle: FileHandle,
  asked: Asked,
): Promise<(BaseLabel & { bytes: number }) | undefined> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(LONGEST), 0, LONGEST, 0)
  const bytes = buffer.subarray(0, bytesRead).indexOf('\n') + 1
  const { bound, sum, outSum } = parse(buffer.toString('utf8', 0, bytes))
  if (!sum || !outSum || JSON.stringify(bound) !== JSON.stringify(boundTo(asked))) return undefined
  return { bound: boundTo(asked), sum, outSum, bytes }
}

function parse(text: string): Partial<BaseLabel> {
  try {
    return (JSON.parse(text) as Partial<BaseLabel> | null) ?? {}
  } catch {
    return {}
  }
}
