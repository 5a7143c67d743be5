import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { requireScope } from '../auth/authentication.ts'
import { type FieldError, invalidRequest } from '../errors.ts'
import { poolOf } from '../pools/pool-parameter.ts'
import type { Shard } from '../protocol/shard.ts'
import { type State, statesIn } from '../protocol/state.ts'
import type { Filter } from '../states/filter.ts'
import { DEFAULT_BASE_DN } from '../systems/ldif.ts'
import type { SystemFormat } from '../systems/system-format.ts'
import { SYSTEM_FORMAT_NAMES, type SystemFormatName, systemFormatOf } from '../systems/system-formats.ts'
import { filterOf } from '../users/filter-parameters.ts'
import { parseShard } from './shard-parameter.ts'

/** A part of a distinguished name (RFC 4514), in which a backslash escapes a character. */
const RDN = '[A-Za-z0-9.-]+=(?:[^\\p{Cc}"+,;<>\\\\]|\\\\[^\\p{Cc}])+'

/** The query members of these files only. */
export const partMembers = {
  part: Type.Optional(
    Type.String({ description: 'From `Link: rel="next"` of the part before; formats of systems under test only' }),
  ),
  base_dn: Type.Optional(
    Type.String({
      pattern: `^${RDN}(?:,${RDN})*$`,
      maxLength: 1_000,
      description: `The entry above the users; \`format=ldif\` only. Default: \`${DEFAULT_BASE_DN}\``,
    }),
  ),
}

/** A validated request for one part of a file for a system under test. */
export interface PartRequest {
  pool: string
  filter: Omit<Filter, 'poolId'>
  shard: Shard | undefined
  format: SystemFormat
  /** Identifies the file to which a value of `part` belongs, besides its pool. */
  file: string
  /** Whether `If-None-Match` contains this state, so that there is nothing to send. */
  isMatch: (state: State) => boolean
}

/** The query of an export that names a format of a system under test. */
export type PartQuery = Parameters<typeof filterOf>[1] & {
  format: SystemFormatName
  part?: string
  base?: string
  include?: string
  base_dn?: string
  shard?: string
  differential?: boolean
}

export const isPartQuery = <Query extends { format?: string }>(query: Query): query is Query & PartQuery =>
  SYSTEM_FORMAT_NAMES.some((name) => name === query.format)

/** Reads the query and headers of a request for a part. Throws `invalid_request`, `forbidden`. */
export function readPartRequest(request: FastifyRequest, query: PartQuery): PartRequest {
  const { format: name, base, include, base_dn: baseDn, shard, differential = true } = query
  const faults: FieldError[] = []
  if (base !== undefined) faults.push(misplaced('base', `does not apply to ${name}: its files have no deltas`))
  if (include !== undefined) faults.push(misplaced('include', `does not apply to ${name}: it decides what a file has`))
  if (baseDn !== undefined && name !== 'ldif') faults.push(misplaced('base_dn', 'applies only to ldif'))
  if (faults.length > 0) throw invalidRequest(faults)
  const format = systemFormatOf(name, baseDn)
  const filter = filterOf(request, query)
  if (format.hasPasswords) requireScope(request, 'credentials:read', `format=${name}`)
  const matching = statesIn(request.headers['if-none-match'])
  return {
    pool: poolOf(request),
    filter,
    shard: shard === undefined ? undefined : parseShard(shard),
    format,
    file: JSON.stringify([name, baseDn ?? null, filter, shard ?? null]),
    isMatch: (state) => differential && (matching === 'any' || matching.includes(state)),
  }
}

const misplaced = (name: string, message: string): FieldError => ({
  path: `querystring.${name}`,
  code: 'contradiction',
  message,
})

/** Throws `invalid_request` if the query of another format has a parameter of these files. */
export function refusePartParameters({ part, base_dn }: { part?: string; base_dn?: string }): void {
  if (part === undefined && base_dn === undefined) return
  const given = Object.entries({ part, base_dn }).filter(([, value]) => value !== undefined)
  throw invalidRequest(given.map(([name]) => misplaced(name, 'applies only to the formats of systems under test')))
}
