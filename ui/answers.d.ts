import type { Static } from 'typebox'
import type { EventResponse } from '../src/audit/routes.ts'
import type { Batch } from '../src/batches/batches.ts'
import type { CandidateResponse, Report } from '../src/batches/expiry-routes.ts'
import type { Failure } from '../src/batches/failures.ts'
import type { Scope as ApiScope } from '../src/config/api-keys.ts'
import type { FieldError } from '../src/errors.ts'
import type { HoldingItem as Held, LeaseItem as Leased, ResetResponse } from '../src/leases/lease-schema.ts'
import type { PoolResponse } from '../src/pools/routes.ts'
import type { PoolStats as Stats } from '../src/stats/routes.ts'
import type {
  DryRunResponse,
  FailureResponse,
  RunResponse,
  StatusResponse,
  VerifyResponse,
} from '../src/sync/sync-schema.ts'
import type { TargetResponse } from '../src/sync/target-schema.ts'
import type { Preview as Previewed, PreviewUser as PreviewedUser } from '../src/templates/preview.ts'
import type { templateAnswer } from '../src/templates/template-schema.ts'
import type { User } from '../src/users/user-schema.ts'

/* The answers of the service, as its own schemas describe them. Only `npm run check` reads this file; it is not served. */

declare global {
  type AuditEvent = Static<typeof EventResponse>
  type BatchItem = Batch
  type BatchFailure = Failure
  type Candidate = Static<typeof CandidateResponse>
  type DryRun = Static<typeof DryRunResponse>
  type ExpiryReport = Static<typeof Report>
  type FieldFault = FieldError
  type Holding = Static<typeof Held>
  /** The page calls a lease `ended` if it only knows that it left the list of active ones. */
  type LeaseItem = Omit<Static<typeof Leased>, 'status'> & { status: Static<typeof Leased>['status'] | 'ended' }
  type LeaseReset = Static<typeof ResetResponse>
  type PoolItem = Static<typeof PoolResponse>
  type PoolStats = Stats
  type Preview = Previewed
  type PreviewUser = PreviewedUser
  type Refusal = Static<typeof FailureResponse>
  type Run = Static<typeof RunResponse>
  type Scope = ApiScope
  type TargetItem = Static<typeof TargetResponse>
  type TargetStatus = Static<typeof StatusResponse>
  type TemplateItem = Static<ReturnType<typeof templateAnswer>>
  type UserItem = Static<typeof User>
  type Verification = Static<typeof VerifyResponse>
}
