import { Type } from 'typebox'
import { Nullable, named, strictNamed } from '../http/schemas.ts'
import { poolParam } from '../pools/pool-parameter.ts'
import { TargetName } from './target-schema.ts'

/** The body of a request for a run. */
export const RunBody = strictNamed('NewSyncRun', {
  ...poolParam,
  target: TargetName,
  full: Type.Optional(Type.Boolean({ default: false })),
  dry_run: Type.Optional(
    Type.Boolean({ default: false, description: 'Sinks: returns what a run would do, and queues none' }),
  ),
})

/** A run in API responses. */
export const RunResponse = named('SyncRun', {
  id: Type.String(),
  target: Type.String(),
  trigger: Type.Enum(['request', 'interval']),
  full: Type.Boolean(),
  clear: Type.Boolean({ description: 'The run removes all users from a sink' }),
  status: Type.Enum(['queued', 'running', 'succeeded', 'failed']),
  kind: Nullable(Type.Enum(['unchanged', 'delta', 'full'])),
  base: Nullable(Type.String()),
  state: Nullable(Type.String()),
  added_count: Type.Integer({ description: 'Users, as counted by the receiver' }),
  updated_count: Type.Integer(),
  deleted_count: Type.Integer(),
  sent_count: Type.Integer({ description: 'Users that were sent, also those that were the same there' }),
  sent_bytes: Type.Integer({ description: 'On the wire, including failed attempts' }),
  attempts: Type.Integer(),
  failure: Nullable(Type.String({ description: 'Why the target is not in sync; null: it is' })),
  detail: Nullable(Type.String()),
  canary: Nullable(
    Type.Object(
      {
        ok: Type.Boolean(),
        users: Type.Integer({ description: 'Users that were tried' }),
        first_login_ms: Nullable(Type.Number({ description: 'Median' })),
        second_login_ms: Nullable(Type.Number()),
        rehash_suspected: Type.Boolean({
          description: 'The system seems to hash the password again at the first login',
        }),
        failures: Type.Array(Type.Object({ username: Type.String(), detail: Type.String() })),
      },
      { description: 'What the logins after the run showed; null: there were none' },
    ),
  ),
  created_at: Type.String(),
  started_at: Nullable(Type.String()),
  finished_at: Nullable(Type.String()),
  duration_ms: Nullable(Type.Number()),
})

/** Whether a target is in sync. */
export const StatusResponse = named('TargetStatus', {
  target: Type.String(),
  in_step: Type.Boolean(),
  local_state: Type.String(),
  remote_state: Nullable(Type.String({ description: 'null: unknown' })),
  remote_failure: Nullable(Type.String()),
  becomes_replica: Type.Boolean({
    description:
      'Whether a run makes the pool there a replica of everything, which takes users from exports only: it is empty, and no replica yet',
  }),
  last_run: Nullable(RunResponse),
})

const Side = Type.Object({
  state: Type.String({ description: 'The recorded state' }),
  recomputed_state: Type.String({ description: 'The state computed from the users' }),
  total_count: Type.Integer(),
})

const Difference = Type.Object({
  count: Type.Integer(),
  ids: Type.Array(Type.String(), { description: 'The first 100' }),
})

/** Both sides of a target, compared user by user. */
export const VerifyResponse = named('Verification', {
  target: Type.String(),
  in_step: Type.Boolean(),
  local: Side,
  remote: Side,
  missing: Difference,
  extra: Difference,
  changed: Difference,
})

/** What a run of a sink would do. */
export const DryRunResponse = named('DryRun', {
  target: Type.String(),
  dry_run: Type.Boolean(),
  kind: Nullable(Type.String()),
  base: Nullable(Type.String()),
  state: Nullable(Type.String()),
  added_count: Type.Integer(),
  updated_count: Type.Integer(),
  deleted_count: Type.Integer(),
  users: Type.Array(Type.Object({}, { additionalProperties: true }), {
    description: 'The first users as they would be sent, without secrets',
  }),
})

/** A user that a sink refused. */
export const FailureResponse = named('TargetFailure', {
  user_id: Type.String(),
  username: Nullable(Type.String({ description: 'null: the user was deleted here' })),
  operation: Type.Enum(['create', 'update', 'delete']),
  code: Type.String(),
  detail: Type.String(),
  tried_at: Type.String(),
})
