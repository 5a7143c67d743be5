import type { FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import { POOL_NAME } from '../../config/api-keys.ts'
import { Problem } from '../../errors.ts'
import { strict } from '../../http/schemas.ts'
import { poolParam } from '../../pools/pool-parameter.ts'
import { COLUMNS, DEFAULT_COLUMNS, DEFAULT_SEPARATOR } from './user-lines.ts'

/** How long a line that was read with KEEP=FALSE stays with its reader. A script never renews, so it has to outlast most tests. */
export const DEFAULT_TTL_SECONDS = 14_400

const oneOf = <const Values extends string[]>(...values: Values) => Type.Enum(values)

/** The parameters of every command, in the query or in a form. Each command ignores those that it does not need. */
export const StsQuery = strict({
  ...poolParam,
  FILENAME: Type.Optional(
    Type.String({
      maxLength: 128,
      description: 'The pool. Lower and upper case are the same, and .csv, .txt, .tsv or .dat at the end is left out',
    }),
  ),
  READ_MODE: Type.Optional({ ...oneOf('FIRST', 'LAST', 'RANDOM'), default: 'FIRST' }),
  KEEP: Type.Optional({ ...oneOf('TRUE', 'FALSE'), default: 'TRUE', description: '`FALSE` leases the user' }),
  LINE: Type.Optional(Type.String({ maxLength: 10_000, description: 'A line as READ returned it' })),
  ADD_MODE: Type.Optional({ ...oneOf('FIRST', 'LAST'), default: 'FIRST', description: 'Makes no difference' }),
  UNIQUE: Type.Optional({ ...oneOf('TRUE', 'FALSE'), default: 'FALSE' }),
  TTL: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 86_400,
      default: DEFAULT_TTL_SECONDS,
      description: 'Seconds after which a user read with KEEP=FALSE is free again',
    }),
  ),
  COLUMNS: Type.Optional(
    Type.String({
      maxLength: 200,
      default: DEFAULT_COLUMNS,
      description: `What a line consists of: some of ${COLUMNS.join(', ')}`,
    }),
  ),
  SEPARATOR: Type.Optional(
    Type.String({ minLength: 1, maxLength: 8, default: DEFAULT_SEPARATOR, description: 'What is between the columns' }),
  ),
})

export type StsParameters = Static<typeof StsQuery>

/**
 * Takes the parameters of a form into the query, and sets the pool that FILENAME names. Returns what is wrong with FILENAME. Without one,
 * as STATUS allows, a pool of the key stands for all of them where the pool of a request is checked.
 */
export function readParameters(request: FastifyRequest, { isFileNeeded }: { isFileNeeded: boolean }) {
  const query = { ...(request.query as object), ...(request.body as object | undefined) } as StsParameters
  request.body = undefined
  request.query = query
  if (query.pool !== undefined) return undefined
  if (query.FILENAME === undefined) {
    if (isFileNeeded) return new Problem('invalid_request', 'FILENAME parameter was missing !')
    const [pool] = [...(request.apiKey?.poolScopes ?? [])].find(([, scopes]) => scopes.has('users:lease')) ?? []
    if (pool !== undefined) query.pool = pool
    return undefined
  }
  if (typeof query.FILENAME !== 'string') return undefined // sent twice: validation comes next, and says so
  query.pool = query.FILENAME.toLowerCase().replace(/\.(csv|txt|tsv|dat)$/, '')
  if (POOL_NAME.test(query.pool)) return undefined
  const form = 'lower-case letters, digits and, after the first character, . _ -'
  return new Problem('invalid_request', `FILENAME has to be the name of a pool: at most 63 ${form}.`)
}
