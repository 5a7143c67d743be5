import type { FileHandle } from 'node:fs/promises'
import type { ExportRequest } from '../export/export-request.ts'
import { filtersOf } from '../states/filter.ts'

/** Which export is requested, and the format of the file. */
export interface PullSource extends Pick<ExportRequest, 'pool' | 'filter' | 'shard' | 'credentials' | 'format'> {
  /** The base URL of the service. */
  url: string
  /** The seed of the order of `out`; undefined: by id. The base is always in id order. */
  shuffle?: string | undefined
}

/** What a base is bound to. A base made for something else is not used. */
const boundTo = (source: PullSource) => ({
  url: source.url,
  ...filtersOf(source),
  include: source.credentials,
  format: source.format,
})

/** The query of the filter. Always in this order, so that all load generators share what a cache has. */
function filterQuery({ pool, filter }: PullSource): URLSearchParams {
  const query = new URLSearchParams({ pool })
  if (filter.batchId !== undefined) query.set('batch_id', filter.batchId)
  query.set('test_users_only', String(filter.testUsersOnly))
  query.set('bulk_users_only', String(filter.bulkUsersOnly))
  return query
}

function exportQuery(source: PullSource): URLSearchParams {
  const { shard, credentials } = source
  const query = new URLSearchParams({ format: 'ndjson', ...Object.fromEntries(filterQuery(source)) })
  if (shard) query.set('shard', `${shard.index}/${shard.count}`)
  if (credentials.length > 0) query.set('include', credentials.join(','))
  return query
}

/** Returns the path of the current state of the filter, also for a shard: bases and states are those of the whole filter. */
export const lookUpPath = (source: PullSource) => `/v1/states/current?${filterQuery(source)}`

/** Returns the path of the NDJSON export that leads from the base to the state; without a base, of the full export. */
export const addressPath = (source: PullSource, { base, state }: { base: string | undefined; state: string }) =>
  `/v1/exports/${base === undefined ? '' : `${base}/`}${state}?${exportQuery(source)}`

/**
 * Returns the path of the NDJSON export, with its query. `base` is the state of the local files; `forceFull` requests the full export
 * whatever the files contain.
 */
export function exportPath(
  source: PullSource,
  { base, forceFull }: { base?: string | undefined; forceFull: boolean },
): string {
  const query = exportQuery(source)
  if (base !== undefined) query.set('base', base)
  if (forceFull) query.set('differential', 'false')
  return `/v1/users/export?${query}`
}

/** The first line of a base: what it is bound to, and checksums that detect damage. The rest is a full NDJSON export. */
export interface BaseLabel {
  bound: object
  /** When the pool was created, if the export has logins: they are those of that pool. */
  poolCreatedAt: string | undefined
  /** The seed of the order of the file that was written together with this base. */
  shuffle: string | undefined
  /** SHA-256 of everything after this line. */
  sum: string
  /** SHA-256 of the file that was written together with this base. */
  outSum: string
}

/** Upper bound of a label's length. A label is far shorter, so a longer first line is not one. */
const MAX_LABEL_BYTES = 16_384

const NO_SUM = '0'.repeat(64)

/** Returns the label with its line end. Without the sums it has the same length, so that they can be filled in later. */
export function writeLabel(
  source: PullSource,
  poolCreatedAt: string | undefined,
  sum = NO_SUM,
  outSum = NO_SUM,
): string {
  const { shuffle } = source
  return `${JSON.stringify({ bound: boundTo(source), poolCreatedAt, shuffle, sum, outSum } satisfies BaseLabel)}\n`
}

/** Returns the label of a base made for `source`, and its length in bytes. Undefined if there is another label, or none. */
export async function readLabel(
  handle: FileHandle,
  source: PullSource,
): Promise<(BaseLabel & { bytes: number }) | undefined> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_LABEL_BYTES), 0, MAX_LABEL_BYTES, 0)
  const bytes = buffer.subarray(0, bytesRead).indexOf('\n') + 1
  const { bound, poolCreatedAt, shuffle, sum, outSum } = parse(buffer.toString('utf8', 0, bytes))
  if (!sum || !outSum || JSON.stringify(bound) !== JSON.stringify(boundTo(source))) return undefined
  return { bound: boundTo(source), poolCreatedAt, shuffle, sum, outSum, bytes }
}

/** Returns what the base that begins with `text` is bound to, whatever it was made for. Empty if it is no base. */
export const readBound = (text: string): object => parse(text.slice(0, text.indexOf('\n') + 1)).bound ?? {}

function parse(text: string): Partial<BaseLabel> {
  try {
    return (JSON.parse(text) as Partial<BaseLabel> | null) ?? {}
  } catch {
    return {}
  }
}
