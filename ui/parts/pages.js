import { useEffect, useMemo, useState } from '../html.js'
import { useCall } from '../live.js'
import { route, setParams } from '../route.js'
import { useStore } from '../store.js'

/** Rows of a page. */
const LIMIT = 50

/**
 * Reads a listing of the API page by page, with the cursor in the address. Rows that are shown stay where they are: a change updates
 * them in place, and new ones are only counted until `showNew`. A row that left a listing by descending id is shown as `gone` returns it.
 *
 * @template Item
 * @param {string} path
 * @param {PagesOptions<Item>} [options]
 * @returns {Pages<Item>}
 */
export function usePages(path, { query, pool, id = 'id', gone, everyMs } = {}) {
  const { params } = useStore(route)
  const cursor = params['cursor']
  const idOf = (/** @type {any} */ item) => String(item[id])
  const listing = JSON.stringify([path, query, params['pool']])
  /** The cursors of the pages before this one, to go back: the API only leads forward. */
  const [trail, setTrail] = useState(/** @type {(string | undefined)[]} */ ([]))
  const [shown, setShown] = useState(/** @type {{ key: string, ids: string[] }} */ ({ key: '', ids: [] }))
  useEffect(() => setTrail([]), [listing])

  const { data, error } = useCall(path, { query: { ...query, cursor, limit: LIMIT }, pool, everyMs })
  const key = JSON.stringify([listing, cursor])
  /** @type {Item[] | undefined} */
  const present = data?.items
  /** The last version of each row of the page, and of each that is shown and has left it. */
  const known = useMemo(() => new Map(/** @type {[string, Item][]} */ ([])), [key])
  for (const item of present ?? []) known.set(idOf(item), item)
  const ids = present?.map(idOf) ?? []

  useEffect(() => {
    if (present !== undefined && (shown.key !== key || shown.ids.length === 0)) setShown({ key, ids })
  }, [data, key])

  const shownIds = shown.key === key && shown.ids.length > 0 ? shown.ids : ids
  const last = data?.next_cursor ? (ids.at(-1) ?? '') : '' // rows after it are on the next page
  for (const [id, item] of known) {
    if (ids.includes(id)) continue
    if (!shownIds.includes(id)) known.delete(id)
    else if (gone && id > last) known.set(id, gone(item))
  }
  const newCount = ids.filter((id) => !shownIds.includes(id)).length
  const nextCursor = data?.next_cursor
  const turn = (/** @type {typeof trail} */ behind, /** @type {string | undefined} */ to) => () => {
    setTrail(behind)
    setParams({ cursor: to })
  }
  return {
    items: present && shownIds.flatMap((id) => known.get(id) ?? []),
    id,
    error,
    newCount: cursor === undefined ? newCount : 0,
    hasMoreNew: newCount >= LIMIT,
    showNew: () => setShown({ key, ids }),
    next: nextCursor ? turn([...trail, cursor], nextCursor) : undefined,
    previous: trail.length > 0 ? turn(trail.slice(0, -1), trail.at(-1)) : undefined,
    first: cursor !== undefined ? turn([], undefined) : undefined,
  }
}
