import { Batch } from './views/batch.js'
import { Batches } from './views/batches.js'
import { MakeUsers } from './views/make-users.js'
import { Overview } from './views/overview.js'

/**
 * A view of the page. `name` is the first part of its address; `Detail` shows one thing, whose id or name is the second part. `scope` is
 * what a key needs to see anything there.
 *
 * @typedef {{
 *   name: string,
 *   title: string,
 *   scope: import('./session.js').Scope,
 *   View: (props: { pool: string, stats: import('../src/stats/routes.ts').PoolStats | undefined }) => import('./html.js').Children,
 *   Detail?: (props: { pool: string, id: string }) => import('./html.js').Children,
 *   count?: (stats: import('../src/stats/routes.ts').PoolStats) => number,
 * }} ViewEntry
 */

/** @type {ViewEntry[]} The views in the order of the side bar. The first one is the start. */
export const VIEWS = [
  { name: 'overview', title: 'Overview', scope: 'users:read', View: Overview },
  { name: 'make', title: 'Make users', scope: 'users:read', View: MakeUsers },
  {
    name: 'batches',
    title: 'Batches',
    scope: 'users:read',
    View: Batches,
    Detail: Batch,
    count: ({ batches }) => batches.queued + batches.running,
  },
]
