import { call } from '../api.js'
import { curlOf } from '../curl.js'
import { html } from '../html.js'
import { useLive } from '../live.js'
import { Badge } from '../parts/badge.js'
import { Copyable } from '../parts/copy.js'
import { Empty, ErrorNotice, Loading } from '../parts/notice.js'
import { Table } from '../parts/table.js'
import { Time } from '../parts/time.js'
import { link } from '../route.js'

const idOf = (/** @type {TargetStatus} */ { target }) => target

/** @type {Column<TargetStatus>[]} */
export const TARGET_COLUMNS = [
  { title: 'Target', isWide: true, cell: ({ target }) => html`<a href=${link(['targets', target])}>${target}</a>` },
  { title: 'State', cell: ({ in_step }) => html`<${Badge} status=${in_step ? 'in_step' : 'not_in_step'} />` },
  { title: 'Last run', cell: ({ last_run }) => (last_run ? html`<${Badge} status=${last_run.status} />` : '–') },
  { title: 'At', cell: ({ last_run }) => html`<${Time} at=${last_run?.finished_at ?? null} />` },
  { title: 'Why not', cell: ({ remote_failure, last_run }) => remote_failure ?? last_run?.failure ?? '' },
]

/**
 * Compares the states of the targets with ours. Each look calls all targets.
 *
 * @param {string} pool
 * @returns {{ data: { items: TargetStatus[] } | undefined, error: Error | undefined, refresh: () => void }}
 */
export const useTargets = (pool, everyMs = 10_000) =>
  useLive((signal) => call('GET', 'v1/sync/status', { signal }), [pool], everyMs)

/** @param {{ pool: string }} props The systems that follow the pool, and whether they do. */
export function Targets({ pool }) {
  const { data, error } = useTargets(pool)
  if (!data) return error ? html`<${ErrorNotice} error=${error} />` : html`<${Loading} />`
  return html`<div class="stack">
    <${ErrorNotice} error=${error} />
    ${
      data.items.length === 0
        ? html`<${Empty} title="No target yet">
          <p>A target is another usersync, or a system under test that keeps this pool's users. An administrator creates one:</p>
          <${Copyable} label="Command" text=${curlOf('POST', 'v1/targets', { name: 'tester', url: 'http://127.0.0.1:3001' })} />
        <//>`
        : html`<${Table} caption="Targets" columns=${TARGET_COLUMNS} items=${data.items} idOf=${idOf} />`
    }
  </div>`
}
