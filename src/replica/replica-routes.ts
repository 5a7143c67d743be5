import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import type { Config } from '../config/config.ts'
import { Problem } from '../errors.ts'
import { CACHING_HEADERS, stateHeaders } from '../export/answer-headers.ts'
import { ndjsonRequest } from '../export/export-request.ts'
import { EXPORT_HEADERS, NDJSON_EXPORT } from '../export/export-schema.ts'
import type { Exports } from '../export/exports.ts'
import { directStream } from '../export/open-export.ts'
import { sendWithoutBody } from '../http/replies.ts'
import { named } from '../http/schemas.ts'
import { acceptUploads, type Patience } from '../http/upload.ts'
import { PoolQuery, poolOf } from '../pools/pool-parameter.ts'
import { findPoolId } from '../pools/pools.ts'
import { EMPTY_STATE } from '../protocol/state.ts'
import { requireAdmin, requireReplica, takeExport, usersOf } from './apply-export.ts'

const NDJSON = 'application/x-ndjson'

const HEAD = {
  ...{ kind: 'full', reason: 'none', base: null, state: EMPTY_STATE, total_count: 0 },
  counts: { added: 0, updated: 0, deleted: 0 },
}

/** Only describes: the reader of the export validates. */
const BODY = {
  description: 'The body of GET /v1/users/export?format=ndjson, unchanged',
  examples: [`${JSON.stringify(HEAD)}\n${JSON.stringify({ end: EMPTY_STATE, lines: 0 })}\n`],
}

interface ReplicaRoutesOptions {
  config: Config
  sql: Sql
  /** Connections for uploads, which keep one while their clients send. */
  uploads: Sql
  exports: Exports
  patience?: Patience
}

/** The receiving side of sync: a replica is a pool that mirrors another one by the exports that are put into it. */
export const replicaRoutes: FastifyPluginCallbackTypebox<ReplicaRoutesOptions> = (app, options, done) => {
  const { config, sql, uploads, exports, patience } = options
  const { importLimitMb: limitMb, waitSeconds } = config
  const receive = acceptUploads(app, { limitMb, waitMs: waitSeconds * 1000, patience })

  app.put(
    '/v1/replica/users',
    {
      config: { scope: 'users:write', work: true, readsBody: true, isProbedWith: true },
      compress: false,
      decompress: false,
      schema: {
        operationId: 'putReplicaUsers',
        tags: ['replica'],
        summary: 'Put an export into a replica',
        description:
          'An unmodified NDJSON export, full or delta, applied in one transaction: completely or not at all. 409 `base_mismatch` has the current state in its member `state`. The pool must be a replica (PATCH /v1/pools/{name}); one of `everything` needs the scope `admin`. A full export with the scope `admin` declares an empty pool a replica of everything.',
        querystring: PoolQuery,
        body: { content: { [NDJSON]: { schema: BODY } } },
        response: {
          200: named('AppliedExport', {
            kind: Type.Enum(['full', 'delta', 'unchanged']),
            state: Type.String(),
            total_count: Type.Integer(),
            counts: Type.Object({ added: Type.Integer(), updated: Type.Integer(), deleted: Type.Integer() }),
          }),
        },
        problems: [
          'export_cut',
          'export_malformed',
          'base_mismatch',
          'pool_in_use',
          'pool_not_replica',
          'domain_not_reserved',
          'export_invalid',
          'state_mismatch',
          'user_too_large',
        ],
      },
    },
    async (request) => {
      const pool = poolOf(request)
      await findPoolId(sql, pool)
      requireNdjson(request)
      const receiver = { pool, isAdmin: request.scopes.has('admin'), reservedDomains: config.reservedDomains }
      return receive(request, (texts) => takeExport(uploads, receiver, texts))
    },
  )

  app.get(
    '/v1/replica/users',
    {
      config: { scope: 'users:read', work: true },
      schema: {
        operationId: 'getReplicaUsers',
        tags: ['replica'],
        summary: 'Read all users of a replica',
        description:
          'A full NDJSON export of the users that the pool mirrors, read directly from the database, so that the source can compare it user by user. A replica of `everything` needs the scope `admin`.',
        querystring: PoolQuery,
        response: { 200: { content: { [NDJSON]: NDJSON_EXPORT } } },
        responseHeaders: EXPORT_HEADERS,
        problems: ['pool_not_replica', 'shutting_down'],
      },
    },
    async (request, reply) => {
      const pool = poolOf(request)
      const mirrors = await requireReplica(sql, pool)
      if (mirrors === 'everything') requireAdmin(request.scopes.has('admin'))
      reply.headers(CACHING_HEADERS).type(`${NDJSON}; charset=utf-8`)
      if (request.method === 'HEAD') {
        const { state } = await exports.currentScope({ pool, filter: usersOf(mirrors) })
        reply.headers(stateHeaders('full', undefined, state))
        return sendWithoutBody(reply)
      }
      const opened = await exports.openDirect(ndjsonRequest({ pool, filter: usersOf(mirrors) }, undefined))
      reply.headers(stateHeaders(opened.plan.kind, undefined, opened.state))
      return reply.send(directStream(opened))
    },
  )

  done()
}

/** Throws `media_type_unsupported` unless the body is NDJSON. */
function requireNdjson({ headers }: FastifyRequest): void {
  const [mediaType = ''] = (headers['content-type'] ?? '').split(';')
  if (mediaType.trim().toLowerCase() === NDJSON) return
  throw new Problem('media_type_unsupported', `Send ${NDJSON}.`)
}
