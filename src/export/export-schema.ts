import { Type } from 'typebox'
import type { HeaderName } from '../http/openapi/headers.ts'
import { Nullable, named } from '../http/schemas.ts'
import { User } from '../users/user-schema.ts'

/** The headers of every export, unchanged ones included. */
export const EXPORT_HEADERS: readonly HeaderName[] = [
  'ETag',
  'Cache-Control',
  'Usersync-Kind',
  'Usersync-Base',
  'Usersync-State',
]

const head = {
  state: Type.String({ description: 'The state after this export' }),
  total_count: Type.Integer({ description: 'Users of the filter, in all shards' }),
  counts: Type.Object(
    { added: Type.Integer(), updated: Type.Integer(), deleted: Type.Integer() },
    { description: 'Users in this response' },
  ),
  filters: Type.Object({
    pool: Type.String(),
    batch_id: Nullable(Type.String()),
    test_users_only: Type.Boolean(),
    bulk_users_only: Type.Boolean(),
    shard: Type.Optional(Type.String()),
  }),
  source_system: Type.String(),
}

const full = {
  kind: Type.Literal('full'),
  reason: Type.Enum(['none', 'unknown', 'expired', 'requested'], { description: 'Why it is not a delta' }),
  base: Type.Null(),
  ...head,
  users: Type.Array(User),
}

const delta = {
  kind: Type.Enum(['delta', 'unchanged']),
  reason: Type.Null(),
  base: Type.String({ description: 'The state that the client has' }),
  ...head,
  added: Type.Array(User),
  updated: Type.Array(User),
  deleted: Type.Array(Type.String(), { description: 'Ids' }),
}

const timed = { export_timestamp: Type.String({ format: 'date-time' }) }
const FullExport = named('FullExport', { ...full, ...timed })
const DeltaExport = named('DeltaExport', { ...delta, ...timed })

/** What the import of a system under test takes. Its form is that system's. */
const SystemFile = Type.Union([Type.Array(Type.Unknown()), Type.Object({}, { additionalProperties: true })], {
  title: 'SystemFile',
  description: '`format=` of a system under test: what its own import takes',
})

/** A body that is not JSON. The routes send streams. */
const text = (description: string) => ({ schema: Type.Unsafe<unknown>({ type: 'string', description }) })

/** An NDJSON export. */
export const NDJSON_EXPORT = text(
  'One JSON value a line: `{"kind", "base", "state", "total_count", "counts"}`; in a delta `{"deleted": "<id>"}` for each deletion; then users; last `{"end": "<state>", "lines": <number of users>}`. A body without the last line is incomplete: do not use it.',
)

const CSV_EXPORT = text(
  'A header row `id,username,email,role,is_test_user,batch_id,created_by_bulk,custom_attributes,created_at,updated_at` and a row for each user (RFC 4180, LF). A delta has the column `op` in front: `added`, `updated` or `deleted`.',
)

/** The response to an export, by media type. */
export const ExportResponse = {
  description: 'An export, written while it is read: a response may be larger than memory',
  content: {
    'application/json': { schema: Type.Union([FullExport, DeltaExport, SystemFile]) },
    'application/x-ndjson': NDJSON_EXPORT,
    'text/csv': CSV_EXPORT,
    'text/x-ldif': text('`format=ldif`: an entry for each user (RFC 2849)'),
    'application/sql': text('`format=better-auth`: statements that insert the users'),
  },
}

/** The response at the address of a state, by media type. It has no time, which the address would not determine. */
export const StateResponse = {
  description: 'The full export of the state',
  content: {
    'application/json': { schema: named('StateExport', full) },
    'application/x-ndjson': NDJSON_EXPORT,
    'text/csv': CSV_EXPORT,
  },
}

/** The response at the address of a delta. */
export const StateDeltaResponse = {
  description: 'What leads from the base to the state',
  content: {
    'application/json': { schema: named('StateDelta', delta) },
    'application/x-ndjson': NDJSON_EXPORT,
    'text/csv': CSV_EXPORT,
  },
}

/** The response to a client that has the current state. */
export const NotModified = { ...Type.Null(), description: 'The client has the current state; the response has no body' }
