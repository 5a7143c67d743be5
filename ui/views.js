import { Audit } from './views/audit.js'
import { Batch, Batches } from './views/batches.js'
import { Leases, LeaseUsers } from './views/leases.js'
import { Lifecycle } from './views/lifecycle.js'
import { MakeUsers } from './views/make-users.js'
import { Overview } from './views/overview.js'
import { Target, Targets } from './views/targets.js'
import { Template, Templates } from './views/templates.js'
import { User, Users } from './views/users.js'

/** @type {ViewEntry[]} The views in the order of the side bar. The first one is the start. */
export const VIEWS = [
  { name: 'overview', title: 'Overview', scope: 'users:read', View: Overview },
  { name: 'make', title: 'Make users', scope: 'users:read', or: 'users:write', View: MakeUsers },
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
