import type { FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import { requireScope } from '../auth/authentication.ts'
import { invalidRequest, Problem } from '../errors.ts'
import { strict } from '../http/schemas.ts'
import { poolOf } from '../pools/pool-parameter.ts'
import type { Shard } from '../protocol/shard.ts'
import { isState, type State, statesIn } from '../protocol/state.ts'
import { CREDENTIALS, type Credential } from '../protocol/user-line.ts'
import type { Filter } from '../states/filter.ts'
import { SYSTEM_FORMAT_NAMES } from '../systems/system-formats.ts'
import { filterMembers, filterOf } from '../users/filter-parameters.ts'
import { acceptedFormat } from './accepted-format.ts'
import { FORMAT_NAMES, type Format } from './format.ts'
import { partMembers, refusePartParameters } from './part-request.ts'
import { parseShard, ShardText } from './shard-parameter.ts'

/** One credential, as a pattern. */
const ONE = `(${CREDENTIALS.join('|')})`

export const ExportQuery = strict({
  ...filterMembers,
  base: Type.Optional(Type.String({ description: 'The state that the client has' })),
  differential: Type.Optional(Type.Boolean({ default: true, description: '`false`: always the full export' })),
  format: Type.Optional(Type.Enum([...FORMAT_NAMES, ...SYSTEM_FORMAT_NAMES])),
  ...partMembers,
  shard: Type.Optional(ShardText),
  include: Type.Optional(
    Type.String({
      pattern: `^${ONE}(,${ONE})*$`,
      description: `credentials to add after each user line, with commas between them: ${CREDENTIALS.join(', ')}. They are not part of the state, and require the scope \`credentials:read\``,
    }),
  ),
})

export type ExportQuery = Static<typeof ExportQuery>

const { include, shard } = ExportQuery.properties

/** The query of an address. No `Accept` decides the format: a cache would have to keep one body for each spelling of it. */
export const AddressQuery = strict({
  ...filterMembers,
  format: Type.Optional(Type.Enum(FORMAT_NAMES, { default: 'json' })),
  shard,
  include,
})

/**
 * Reads the query and headers of an address: of the delta from `base`, or of the full export. Its text depends on nothing but the address.
 * Throws what `readExportRequest` throws.
 */
export const readAddressRequest = (
  request: FastifyRequest,
  query: Static<typeof AddressQuery>,
  base: State | undefined,
): ExportRequest => ({
  ...readExportRequest(request, { format: 'json', ...query }),
  reproducible: true,
  knownStates: base === undefined ? [] : [base],
})

/** A validated export request. */
export interface ExportRequest {
  pool: string
  filter: Omit<Filter, 'poolId'>
  format: Format
  shard: Shard | undefined
  credentials: Credential[]
  differential: boolean
  /** The text depends only on this request and the state: it has no time, and the users of a delta are in id order. */
  reproducible: boolean
  /** The states that a delta may start from: `base`, else those of `If-None-Match`. */
  knownStates: readonly State[]
  /** Whether `If-None-Match` contains this state, so that there is nothing to send. */
  isMatch: (state: State) => boolean
}

/** The NDJSON export of a filter from `base`, or the full export if that is undefined, for a reader that sends no request itself. */
export const ndjsonRequest = (
  { pool, filter }: Pick<ExportRequest, 'pool' | 'filter'>,
  base: State | undefined,
): ExportRequest => ({
  pool,
  filter,
  format: 'ndjson',
  shard: undefined,
  credentials: [],
  differential: base !== undefined,
  reproducible: false,
  knownStates: base === undefined ? [] : [base],
  isMatch: () => false,
})

/**
 * Reads the query and headers of an export in one of our own formats. Throws `base_invalid`, `invalid_request`, `not_acceptable`,
 * `forbidden`.
 */
export function readExportRequest(request: FastifyRequest, query: ExportQuery): ExportRequest {
  const { base, differential = true, include, shard } = query
  refusePartParameters(query)
  if (base !== undefined && !isState(base)) {
    throw new Problem('base_invalid', 'A state is u1- followed by 64 lower-case hexadecimal digits.')
  }
  const format = (query.format as Format | undefined) ?? acceptedFormat(request)
  const filter = filterOf(request, query)
  if (include) requireScope(request, 'credentials:read', 'include')
  const matching = statesIn(request.headers['if-none-match'])
  const knownStates = base ? [base] : matching === 'any' ? [] : matching
  return {
    pool: poolOf(request),
    filter,
    format,
    shard: shard === undefined ? undefined : parseShard(shard),
    credentials: include === undefined ? [] : credentialsIn(include),
    differential,
    reproducible: false,
    knownStates,
    isMatch: (state) => differential && (matching === 'any' || matching.includes(state)),
  }
}

/** Returns the credentials in a fixed order. Throws `invalid_request` if the text names one twice. */
function credentialsIn(include: string): Credential[] {
  const names = include.split(',')
  if (new Set(names).size < names.length) {
    const errors = [{ path: 'querystring.include', code: 'invalid', message: 'names a credential twice' }]
    throw invalidRequest(errors)
  }
  return CREDENTIALS.filter((name) => names.includes(name))
}
