import type { ExportRequest } from '../export/export-request.ts'
import { filtersOf } from '../export/filters-of.ts'

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
