import type { FastifySchema, RouteOptions } from 'fastify'
import { ERRORS, type ErrorCode, MAX_FAULTS } from '../../errors.ts'
import { PROBES } from '../request-log.ts'
import { type HeaderName, headers } from './headers.ts'

declare module 'fastify' {
  interface FastifySchema {
    /** The problems that only this route answers with; see problemsOf. Required, unless the schema is hidden. */
    problems?: readonly ErrorCode[]
    /** The media type of its problems. Default: application/problem+json. */
    problemType?: string
  }
}

/** What decides on the problems of a route. */
type Described = Pick<RouteOptions, 'method' | 'url' | 'schema' | 'config'>

const METHODS_WITHOUT_BODY = new Set(['GET', 'HEAD'])
const mayHaveBody = ({ method }: Described) => ![method].flat().every((one) => METHODS_WITHOUT_BODY.has(one))
const isOpen = ({ config }: Described) => config?.scope === undefined

/** Whether a part of a request accepts the member. Bodies that routes read themselves have no members. */
const hasMember = (part: FastifySchema['querystring'], ...names: string[]) =>
  names.some((name) => name in ((part as { properties?: object } | undefined)?.properties ?? {}))

/** The problems that follow from the properties of a route. */
const COMMON: { of: (route: Described) => boolean; codes: ErrorCode[] }[] = [
  { of: () => true, codes: ['invalid_request', 'not_acceptable', 'misdirected_request', 'internal_error'] },
  { of: ({ url }) => !PROBES.test(url), codes: ['overloaded'] },
  { of: ({ url }) => !PROBES.test(url) || url === '/metrics', codes: ['rate_limited'] },
  { of: (route) => !isOpen(route), codes: ['unauthorized', 'forbidden', 'database_unavailable', 'read_only'] },
  {
    of: mayHaveBody,
    codes: ['invalid_json', 'media_type_unsupported', 'body_too_large', 'request_timeout', 'cross_site_request'],
  },
  { of: ({ schema }) => hasMember(schema?.querystring, 'pool'), codes: ['pool_not_found'] },
  { of: ({ schema }) => hasMember(schema?.querystring, 'cursor', 'part'), codes: ['cursor_invalid'] },
  { of: ({ url }) => /\/:\w+$/.test(url), codes: ['route_not_found'] }, // with a slash instead of the value
]

/** Returns the codes of all problems that a route answers with, in the order of the catalogue. */
export function problemsOf(route: Described): ErrorCode[] {
  const common = COMMON.filter(({ of }) => of(route)).flatMap(({ codes }) => codes)
  const codes = new Set<string>([...common, ...(route.schema?.problems ?? [])])
  return (Object.keys(ERRORS) as ErrorCode[]).filter((code) => codes.has(code))
}

/** The headers of problems with this status, or with this code. */
const HEADERS_OF: Record<string | number, HeaderName[]> = {
  401: ['WWW-Authenticate'],
  429: ['Retry-After', 'RateLimit-Limit', 'RateLimit-Remaining', 'RateLimit-Reset'],
  503: ['Retry-After'],
  state_gone: ['Link'],
  users_exhausted: ['Retry-After'],
  population_exists: ['Location'],
}

const time = { type: ['string', 'null'], format: 'date-time' }

/** Additional members (RFC 9457 section 3.2), by code. */
const MEMBERS_OF: Partial<Record<ErrorCode, object>> = {
  base_mismatch: { state: { type: 'string', description: 'The current state of the pool' } },
  state_gone: { state: { type: 'string', description: 'The current state of the filter' } },
  population_exists: { batch_id: { type: 'string' } },
  users_exhausted: {
    free: { type: 'integer' },
    leased: { type: 'integer' },
    dirty: { type: 'integer' },
    consumed: { type: 'integer' },
    next_expiry: time,
  },
}

/** The form of every problem: RFC 9457, with a stable `code`. */
export const PROBLEM = {
  type: 'object',
  description: 'A problem (RFC 9457). `code` is stable; `detail` says what is wrong, where, and what to do.',
  required: ['type', 'title', 'status', 'detail', 'code'],
  properties: {
    type: { type: 'string', description: '`urn:usersync:problem:` and the code' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    instance: { type: 'string', description: 'The id of the request, as in the log' },
    code: { type: 'string' },
    errors: {
      type: 'array',
      maxItems: MAX_FAULTS,
      description: 'Every invalid member of the request',
      items: {
        type: 'object',
        required: ['path', 'code', 'message'],
        properties: { path: { type: 'string' }, code: { type: 'string' }, message: { type: 'string' } },
      },
    },
  },
}

const JSON_TYPE = 'application/problem+json'

const schemaOf = (status: number, codes: ErrorCode[]) => ({
  allOf: [
    { $ref: '#/components/schemas/Problem' },
    {
      type: 'object',
      properties: {
        status: { type: 'integer', enum: [status] },
        code: { type: 'string', enum: codes },
        ...Object.assign({}, ...codes.map((code) => MEMBERS_OF[code])),
      },
    },
  ],
})

/** The response to a set of problems that have one status. */
function response(status: number, codes: ErrorCode[], type: string) {
  return {
    description: codes.map((code) => `\`${code}\`: ${ERRORS[code].title}.`).join('\n\n'),
    ...headers([status, ...codes].flatMap((key) => HEADERS_OF[key] ?? [])),
    content: { [type]: { schema: type === JSON_TYPE ? schemaOf(status, codes) : { type: 'string' } } },
  }
}
/** Collects the responses of all routes to problems. Equal ones are one component, named after its codes. */
export function problemResponses() {
  const components: Record<string, object> = {}
  return {
    components,
    /** Returns references to the responses of a route, by status. */
    of(route: Described): Record<string, { $ref: string }> {
      const byStatus = Map.groupBy(problemsOf(route), (code) => ERRORS[code].status as number)
      const references = [...byStatus].map(([status, codes]) => {
        const { problemType = JSON_TYPE } = route.schema ?? {}
        const name = [...codes, ...(problemType === JSON_TYPE ? [] : [problemType.replace('/', '-')])].join('.')
        components[name] ??= response(status, codes, problemType)
        return [status, { $ref: `#/components/responses/${name}` }]
      })
      return Object.fromEntries(references)
    },
  }
}
