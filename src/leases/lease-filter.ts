import type { Static } from 'typebox'
import { invalidRequest } from '../errors.ts'
import { ANY_BATCH } from '../states/filter.ts'
import type { LeaseFilter } from './lease-schema.ts'
import type { Selection } from './selection.ts'

/**
 * Returns the selection of a request, whose filter is at `path`. Equal filters have equal texts, so that they share one line.
 * Throws `invalid_request`.
 */
export function selectionOf(
  pool: string,
  filter: Static<typeof LeaseFilter> = {},
  path = 'body.filter',
): Omit<Selection, 'order'> {
  const { batch_id: batchId, role, attributes = {} } = filter
  if (batchId === ANY_BATCH) {
    throw invalidRequest([{ path: `${path}.batch_id`, code: 'invalid', message: 'is not the id of a batch' }])
  }
  const sorted = Object.entries(attributes).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return { pool, batchId: batchId?.toLowerCase(), role, attributes: Object.fromEntries(sorted) }
}
