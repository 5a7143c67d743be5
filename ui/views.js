import { Audit } from './views/audit.js'
import { Batch } from './views/batch.js'
import { Batches } from './views/batches.js'
import { Leases, LeaseUsers } from './views/leases.js'
import { Lifecycle } from './views/lifecycle.js'
import { MakeUsers } from './views/make-users.js'
import { Overview } from './views/overview.js'
import { Target } from './views/target.js'
import { Targets } from './views/targets.js'
import { Template } from './views/template.js'
import { Templates } from './views/templates.js'
import { User } from './views/user.js'
import { Users } from './views/users.js'

/**
 * A view of the page. `name` is the first part of its address; `Detail` shows one thing, whose id or name is the second part. `scope` is
 * what a key needs to see anything there.
 *
 * @typedef {{
 *   name: string,
 *   title: string,
 *   scope: Scope,
 *   View: (props: { pool: string, stats: PoolStats | undefined, statsError: Error | undefined }) => Children,
 *   Detail?: (props: { pool: string, id: string }) => Children,
 *   count?: (stats: PoolStats) => number,
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
  { name: 'users', title: 'Users', scope: 'users:read', View: Users, Detail: User },
  { name: 'targets', title: 'Targets', scope: 'users:read', View: Targets, Detail: Target },
  { name: 'leases', title: 'Leases', scope: 'users:lease', View: Leases, Detail: LeaseUsers },
  { name: 'lifecycle', title: 'Lifecycle', scope: 'users:read', View: Lifecycle },
  { name: 'templates', title: 'Templates', scope: 'users:read', View: Templates, Detail: Template },
  { name: 'audit', title: 'Audit', scope: 'admin', View: Audit },
]
