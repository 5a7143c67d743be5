import { isDatabaseUnavailable } from './sqlstate.ts'

/**
 * Runs `work` for one item after the other: the pools or the steps of a round of background work. The failure of one
 * does not stop those after it, because a row that a statement cannot handle makes it fail in every round. Throws the
 * first error at the end, and at once if the database is unavailable.
 */
export async function attemptEach<Item>(items: Iterable<Item>, work: (item: Item) => Promise<unknown>): Promise<void> {
  const errors: unknown[] = []
  for (const item of items) {
    try {
      await work(item)
    } catch (error) {
      if (isDatabaseUnavailable(error)) throw error
      errors.push(error)
    }
  }
  if (errors.length > 0) throw errors[0]
}
