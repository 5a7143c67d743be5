import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Sql } from 'postgres'
import { type Static, Type } from 'typebox'
import type { Config } from '../config/config.ts'
import { Problem } from '../errors.ts'
import { sendHead } from '../http/compression.ts'
import type { Coding } from '../http/content-coding.ts'
import { sendWithoutBody } from '../http/replies.ts'
import { strict } from '../http/schemas.ts'
import { STATE_FORM, type State } from '../protocol/state.ts'
import { isRecurring } from '../states/scope-state.ts'
import type { Plan } from './answer.ts'
import { stateHeaders } from './answer-headers.ts'
import { AddressQuery, readAddressRequest } from './export-request.ts'
import { EXPORT_HEADERS, NotModified, StateDeltaResponse, StateResponse } from './export-schema.ts'
import type { Exports } from './exports.ts'
import { FORMATS } from './format.ts'
import { planAnswer } from './make-answer.ts'
import { discardBody, sendBody } from './send-body.ts'
import type { ExportObserver } from './send-not-modified.ts'
import { setCaching, sharedCaching } from './shared-caching.ts'

interface AddressRoutesOptions {
  sql: Sql
  exports: Exports
  observer: ExportObserver
  config: Config
}

const StateParam = Type.String({
  pattern: STATE_FORM.source,
  description: 'a state: u1- and 64 lower-case hexadecimal digits',
})

/** What an address names. */
interface Address {
  /** The state that a delta starts from; undefined: the full export. */
  base?: State
  state: State
}

/**
 * Serves exports by addresses that name their content, so that any HTTP cache may answer for the service. An address has one body: a
 * full export of a state is determined by it, and a delta leads from the one state to the other.
 */
export const addressRoutes: FastifyPluginCallbackTypebox<AddressRoutesOptions> = (app, options, done) => {
  const { sql, exports, observer } = options
  const caching = sharedCaching(options.config)
  const config = { scope: 'users:read', work: true } as const
  const schema = {
    tags: ['export'],
    querystring: AddressQuery,
    headers: Type.Object({
      'if-none-match': Type.Optional(Type.String({ description: 'States that the client has' })),
    }),
    responseHeaders: [...EXPORT_HEADERS, 'Usersync-Pool-Created'] as const,
    problems: ['state_gone', 'shutting_down'] as const,
  }

  app.get(
    '/v1/exports/:state',
    {
      config,
      schema: {
        ...schema,
        operationId: 'exportState',
        summary: 'Export all users of a state',
        description: 'The same body for ever, so a cache may keep it. Only the current state is available.',
        params: strict({ state: StateParam }),
        response: { 200: StateResponse, 304: NotModified },
      },
    },
    (request, reply) => answer(request, reply, request.query, request.params),
  )

  app.get(
    '/v1/exports/:base/:state',
    {
      config,
      schema: {
        ...schema,
        operationId: 'exportDelta',
        summary: 'Export what leads from one state to another',
        description:
          'The same body for ever, so a cache may keep it. Only the current state is available, from a base that is remembered.',
        params: strict({ base: StateParam, state: StateParam }),
        response: { 200: StateDeltaResponse, 304: NotModified },
      },
    },
    (request, reply) => answer(request, reply, request.query, request.params),
  )

  async function answer(
    request: FastifyRequest,
    reply: FastifyReply,
    query: Static<typeof AddressQuery>,
    address: Address,
  ): Promise<FastifyReply> {
    const exportRequest = readAddressRequest(request, query, address.base)
    const present = await exports.currentScope(exportRequest)
    const filter = { poolId: present.poolId, ...exportRequest.filter }
    const plan = await planAnswer(sql, filter, present, exportRequest)
    refuseGone(request, address, { plan, state: present.state })
    const hasLogins = exportRequest.credentials.length > 0
    if (hasLogins) reply.header('usersync-pool-created', present.poolCreatedAt)
    const headers = stateHeaders(plan.kind, address.base, address.state)
    if (exportRequest.isMatch(address.state)) {
      observer.exported({ kind: 'unchanged' })
      return sendHead(setCaching(reply, hasLogins ? caching.none : caching.immutable), 304, headers)
    }
    // The compression plugin has already chosen the coding, and does not encode an encoded body again.
    const exported = await exports.open(exportRequest, request.headers['accept-encoding'] as Coding)
    try {
      refuseGone(request, address, exported) // the pool has changed since the look-up
      const isFixed = !hasLogins && (exported.updated === 0 || !(await isRecurring(sql, filter, address.state)))
      setCaching(reply, isFixed ? caching.immutable : caching.none)
    } catch (error) {
      discardBody(exported)
      throw error
    }
    reply.headers(headers).type(`${FORMATS[exportRequest.format].mediaType}; charset=utf-8`)
    observer.exported(exported.plan)
    if (request.method !== 'HEAD') return sendBody(reply, exported)
    discardBody(exported)
    return sendWithoutBody(reply)
  }

  done()
}

/** Throws `state_gone` if the address is not the one of `found`: the current state, and how it is reached from the address's base. */
function refuseGone(request: FastifyRequest, { base, state }: Address, found: { plan: Plan; state: State }): void {
  const isRemembered = base !== undefined && found.plan.kind !== 'full'
  if (found.state === state && (base === undefined || isRemembered)) return
  const { search } = new URL(request.url, 'http://localhost')
  const latest = `/v1/exports/${isRemembered ? `${base}/` : ''}${found.state}${search}`
  const detail =
    found.state === state
      ? 'The service does not remember the base. Request the full export, at the address in Link.'
      : 'The state is no longer the current one, or never was. Link has the address of the current one.'
  throw new Problem('state_gone', detail, {
    headers: { link: `<${latest}>; rel="latest-version"` },
    members: { state: found.state },
  })
}
