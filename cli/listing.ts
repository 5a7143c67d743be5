import { itemsOf } from '../client/pages.ts'
import { countOf } from './input.ts'

/** The option `--limit` of a listing. */
export const limitOption = (what: string) => ({ value: 'N', description: `at most N ${what} (default: 100)` })

/** Returns the first items of a listing, as many as `--limit` says. `read` requests a page. Throws UsageError. */
export async function firstItems<Item>(
  limitGiven: string | undefined,
  read: (page: { limit: number; cursor?: string }) => Promise<{ items: Item[]; next_cursor: string | null }>,
): Promise<Item[]> {
  const limit = countOf('--limit', limitGiven ?? '100')
  const found: Item[] = []
  for await (const item of itemsOf((cursor) => read({ limit: Math.min(limit, 1000), ...cursor }))) {
    if (found.push(item) === limit) break
  }
  return found
}

/** Returns one line of JSON for each value. */
export const jsonLines = (values: unknown[]): string => values.map((value) => `${JSON.stringify(value)}\n`).join('')
