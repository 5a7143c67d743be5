import { Type } from 'typebox'
import { plainHttpUrl, serviceAddress } from '../config/url.ts'
import { Problem } from '../errors.ts'
import { Nullable, named, strict, strictNamed, Uuid } from '../http/schemas.ts'
import { PoolName, poolParam } from '../pools/pool-parameter.ts'
import { kindOf, SINK_KINDS } from './kinds/kinds.ts'

/** Returns the normalized URL of a receiver: http or https, with an optional path and nothing else. Throws `invalid_request`. */
export function receiverUrl(text: string): string {
  const url = plainHttpUrl(text)
  if (url) return serviceAddress(url)
  const message =
    'expects http://host:port or https://host, with a port from 1 to 65535 and without user, query or fragment'
  throw new Problem('invalid_request', `body.url ${message}`, {
    errors: [{ path: 'body.url', code: 'format', message }],
  })
}

export const TargetName = PoolName

/** The names of the built-in mappings by kind, for programs that offer them. */
const PRESETS = Object.fromEntries(SINK_KINDS.map((kind) => [kind, Object.keys(kindOf(kind).presets)]))

const TargetFilter = strict(
  {
    batch_id: Type.Optional(Nullable(Uuid)),
    test_users_only: Type.Optional(Type.Boolean({ default: true })),
    bulk_users_only: Type.Optional(Type.Boolean({ default: false })),
  },
  { description: 'The users that the target gets' },
)

const LimitMembers = strict(
  {
    batch: Type.Optional(Type.Integer({ minimum: 1, maximum: 5_000, description: 'users per batch' })),
    concurrency: Type.Optional(Type.Integer({ minimum: 1, maximum: 16, description: 'batches at a time' })),
    per_second: Type.Optional(
      Nullable(Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'users per second; null: no limit' })),
    ),
  },
  { description: 'Sinks: how fast users are sent' },
)

/** The members of a target in a request. */
const targetMembers = {
  url: Type.String({
    maxLength: 2_000,
    description:
      'Of a `usersync`: its base URL, such as `http://tester:3000`. Of a `postgres`: `postgres://user@host:port/database`. Of an `ldap`: `ldaps://host` or `ldap://host`. Otherwise the base URL of the API, such as `https://app/scim/v2`',
  }),
  key: Type.Optional(Nullable(Type.String({ minLength: 1, maxLength: 1_000, pattern: '^[^\\x00-\\x1f\\x7f]+$' }))),
  filter: Type.Optional(TargetFilter),
  remote_pool: Type.Optional(PoolName),
  mapping: Type.Optional(
    Type.Object({}, { additionalProperties: true, description: 'Sinks: what each user becomes. See docs/sinks.md' }),
  ),
  preset: Type.Optional(
    Type.String({ maxLength: 63, description: 'Sinks: the name of a built-in mapping', 'x-presets': PRESETS }),
  ),
  limits: Type.Optional(LimitMembers),
  canary: Type.Optional(
    Nullable(
      Type.Object(
        {},
        {
          additionalProperties: true,
          description: 'Sinks: how some users log in after a run. See docs/canary.md. null: none do',
        },
      ),
    ),
  ),
  interval_seconds: Type.Optional(
    Nullable(Type.Integer({ minimum: 1, maximum: 86_400, description: 'null: pushed on request only' })),
  ),
}

export const TargetBody = strictNamed('NewTarget', {
  ...poolParam,
  name: TargetName,
  kind: Type.Optional(Type.Enum(['usersync', ...SINK_KINDS], { default: 'usersync' })),
  ...targetMembers,
})
export const TargetChangeBody = Type.Partial(Type.Object({ ...poolParam, ...targetMembers }), {
  additionalProperties: false,
})

/** A target in API responses, without its key. */
export const TargetResponse = named('Target', {
  name: Type.String(),
  kind: Type.String(),
  url: Type.String(),
  has_key: Type.Boolean(),
  filter: Type.Object({
    batch_id: Nullable(Type.String()),
    test_users_only: Type.Boolean(),
    bulk_users_only: Type.Boolean(),
  }),
  remote_pool: Nullable(Type.String({ description: 'null: a sink' })),
  mapping: Nullable(Type.Object({}, { additionalProperties: true })),
  limits: Nullable(
    Type.Object({ batch: Type.Integer(), concurrency: Type.Integer(), per_second: Nullable(Type.Integer()) }),
  ),
  canary: Nullable(Type.Object({}, { additionalProperties: true })),
  interval_seconds: Nullable(Type.Integer()),
  created_at: Type.String(),
  updated_at: Type.String(),
})
