import { Type } from 'typebox'
import { Nullable, named, strict, strictNamed, Uuid } from '../http/schemas.ts'
import { poolParam } from '../pools/pool-parameter.ts'
import { User } from '../users/user-schema.ts'
import { OUTCOMES } from './end-leases.ts'
import { LEASE_CREDENTIALS } from './lease-users.ts'
import { ORDERS } from './selection.ts'

/** Maximum number of users of one lease. */
const MAX_USERS = 10_000

export const DEFAULT_TTL_SECONDS = 60
const MAX_TTL_SECONDS = 86_400

const time = Type.String({ format: 'date-time' })
const oneOf = <const Values extends string[]>(values: readonly [...Values]) => Type.Enum([...values])

const Ttl = Type.Integer({
  minimum: 1,
  maximum: MAX_TTL_SECONDS,
  description: 'Seconds after which the lease ends, unless it is renewed',
})
const Fence = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'The `fence` of the lease' })

export const LeaseFilter = strictNamed('LeaseFilter', {
  batch_id: Type.Optional(Uuid),
  role: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  attributes: Type.Optional(
    Type.Record(
      Type.String({ pattern: '^[\\s\\S]*$' }),
      Type.Union([Type.String({ maxLength: 1000 }), Type.Number(), Type.Boolean(), Type.Null()]),
      { maxProperties: 10, description: 'Values that top-level members of `custom_attributes` equal' },
    ),
  ),
})

export const LeaseBody = strictNamed('NewLease', {
  ...poolParam,
  count: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_USERS, default: 1 })),
  owner: Type.Optional(
    Type.String({ maxLength: 200, default: '', description: 'Who uses the users, for people who read the journal' }),
  ),
  ttl_seconds: Type.Optional({ ...Ttl, default: DEFAULT_TTL_SECONDS }),
  filter: Type.Optional(LeaseFilter),
  order: Type.Optional({ ...oneOf(ORDERS), default: 'least_used' }),
  include: Type.Optional(
    Type.Array(oneOf(LEASE_CREDENTIALS), {
      uniqueItems: true,
      description: 'Adds these to each user. Requires the scope `credentials:read`',
    }),
  ),
  partial: Type.Optional(Type.Boolean({ default: false, description: 'Whether fewer users than `count` are enough' })),
  wait_seconds: Type.Optional(
    Type.Number({ minimum: 0, maximum: 30, default: 0, description: 'How long to wait for users that come back' }),
  ),
})

export const LeaseResponse = named('GrantedLease', {
  id: Type.String(),
  fence: Type.Integer({ description: 'Grows with each lease of a user' }),
  expires_at: time,
  users: Type.Array(User),
})

export const RenewBody = strictNamed('LeaseRenewal', {
  ...poolParam,
  fence: Fence,
  ttl_seconds: Type.Optional({ ...Ttl, default: DEFAULT_TTL_SECONDS }),
})

export const RenewResponse = named('RenewedLease', {
  id: Type.String(),
  fence: Type.Integer(),
  expires_at: time,
  gone: Type.Array(Type.String(), { description: 'Ids of users that were deleted' }),
  changed: Type.Array(User, { description: 'Users that were written since the lease began, as they are now' }),
})

const Outcome = oneOf(OUTCOMES)

export const ReturnBody = strictNamed(
  'LeaseReturn',
  {
    ...poolParam,
    fence: Fence,
    outcome: Type.Optional({ ...Outcome, description: 'For all users, which ends the lease' }),
    users: Type.Optional(
      Type.Array(strict({ id: Uuid, outcome: Outcome, note: Type.Optional(Type.String({ maxLength: 1000 })) }), {
        minItems: 1,
        maxItems: MAX_USERS,
        description: 'Returns only these users. The lease ends with the last one',
      }),
    ),
  },
  { description: 'Either `outcome` or `users`' },
)

export const ReturnResponse = named('ReturnedLease', {
  id: Type.String(),
  returned_count: Type.Integer({ description: 'Users that this request returned; 0 if they were returned before' }),
  held_count: Type.Integer({ description: 'Users that the lease still has' }),
})

const leaseMembers = {
  id: Type.String(),
  fence: Type.Integer(),
  owner: Type.String(),
  api_key: Nullable(Type.String({ description: 'The name of the key that requested the lease' })),
  status: oneOf(['active', 'returned', 'expired', 'forced', 'abandoned']),
  granted_at: time,
  expires_at: time,
  ended_at: Nullable(time),
  user_count: Type.Integer(),
}

export const LeaseItem = named('Lease', leaseMembers)

export const LeaseDetail = named('LeaseDetail', {
  ...leaseMembers,
  users: Type.Array(
    Type.Object({
      id: Type.String(),
      username: Nullable(Type.String({ description: 'null: the user was deleted' })),
      status: Type.String({ description: '`leased`, `gone`, the outcome, or how the lease ended' }),
    }),
  ),
})

export const HoldingItem = named('Holding', {
  lease_id: Type.String(),
  fence: Type.Integer(),
  owner: Type.String(),
  api_key: Nullable(Type.String()),
  granted_at: time,
  ended_at: Nullable(time),
  ending: Nullable(oneOf(['returned', 'expired', 'forced', 'abandoned'])),
  outcome: Nullable(Outcome),
  note: Nullable(Type.String()),
})

export const StatsResponse = named('LeaseStats', {
  free: Type.Integer(),
  leased: Type.Integer(),
  dirty: Type.Integer(),
  consumed: Type.Integer(),
  resetting: Type.Integer({ description: 'Dirty and consumed users that are free when targets have put them right' }),
  waiting: Type.Integer({ description: 'Requests in this replica that wait for users' }),
  next_expiry: Nullable(time),
})

export const ResetBody = strictNamed('UserReset', { ...poolParam, filter: Type.Optional(LeaseFilter) })
export const ResetResponse = Type.Object({
  freed_count: Type.Integer({ description: 'Users that are free now' }),
  waiting_count: Type.Integer({ description: 'Users that are free when the targets have put them right' }),
  targets: Type.Array(Type.String(), { description: 'The names of these targets' }),
})
