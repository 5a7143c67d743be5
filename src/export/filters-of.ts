import type { ExportRequest } from './export-request.ts'

/** The filter as JSON tells it. */
export const filtersOf = ({ pool, filter, shard }: Pick<ExportRequest, 'pool' | 'filter' | 'shard'>) => ({
  pool,
  batch_id: filter.batchId ?? null,
  test_users_only: filter.testUsersOnly,
  bulk_users_only: filter.bulkUsersOnly,
  ...(shard && { shard: `${shard.index}/${shard.count}` }),
})
