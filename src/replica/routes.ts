import { Readable } from 'node:stream'
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import type { Config } from '../config.ts'
import { Problem } from '../errors.ts'
import { CACHING_HEADERS, stateHeaders } from '../export/answer-headers.ts'
import { directStream } from '../export/direct-stream.ts'
import type { ExportRequest } from '../export/export-request.ts'
import type { Exports } from '../export/exports.ts'
import type { Patience } from '../http/streamed-body.ts'
import { acceptUploads } from '../http/upload.ts'
import { poolMember, poolName } from '../pools/pool-parameter.ts'
import { findPoolId } from '../pools/pools.ts'
import { takeExport } from './take-export.ts'
import { requireReplica, WHOLE_POOL } from './takeable.ts'

const NDJSON = 'application/x-ndjson'

interface ReplicaRoutesOptions {
  config: Config
  sql: Sql
  /** Connections that uploads keep while their clients send. */
  uploads: Sql
  exports: Exports
  patience?: Patience
}

/** The receiving side of sync: a pool that is kept equal to another one by the exports that are put into it. */
export const replicaRoutes: FastifyPluginCallbackTypebox<ReplicaRoutesOptions> = (app, options, done) => {
  const { config, sql, uploads, exports, patience } = options
  const { importLimitMb: limitMb, waitSeconds } = config
  const receive = acceptUploads(app, { limitMb, waitMs: waitSeconds * 1000, patience })

  app.put(
    '/v1/replica/users',
    {
      config: { scope: 'users:write', work: true, readsBody: true },
      compress: false,
      decompress: false,
      schema: {
        tags: ['replica'],
        summary: 'Put an export into a replica',
        description:
          'An NDJSON export as it is, full or delta: all of it is taken, in one transaction, or nothing. 409 `base_mismatch` tells in its member `state` what is held.',
        querystring: Type.Object(poolMember, { additionalProperties: false }),
        body: { content: { [NDJSON]: { schema: {} } } },
        response: {
          200: Type.Object({
            kind: Type.Enum(['full', 'delta', 'unchanged']),
            state: Type.String(),
            total_count: Type.Integer(),
            counts: Type.Object({ added: Type.Integer(), updated: Type.Integer(), deleted: Type.Integer() }),
          }),
        },
      },
    },
    async (request) => {
      const pool = poolName(request.query)
      await findPoolId(sql, pool)
      requireNdjson(request)
      return receive(request, (texts) => takeExport(uploads, pool, texts))
    },
  )

  app.get(
    '/v1/replica/users',
    {
      config: { scope: 'users:read', work: true },
      schema: {
        tags: ['replica'],
        summary: 'Read all that a replica holds',
        description:
          'A full NDJSON export of everybody in the pool, read from the database itself: its source compares it user by user.',
        querystring: Type.Object(poolMember, { additionalProperties: false }),
      },
    },
    async (request, reply) => {
      const pool = poolName(request.query)
      await requireReplica(sql, await findPoolId(sql, pool))
      reply.headers(CACHING_HEADERS).type(`${NDJSON}; charset=utf-8`)
      if (request.method === 'HEAD') {
        const { state } = await exports.currentScope({ pool, filter: WHOLE_POOL })
        reply.headers(stateHeaders('full', undefined, state))
        return reply.send(Readable.from([])) // a stream, or Fastify would state a length of 0
      }
      const opened = await exports.openDirect(everybodyIn(pool))
      reply.headers(stateHeaders(opened.plan.kind, undefined, opened.state))
      return reply.send(directStream(opened))
    },
  )

  done()
}

const everybodyIn = (pool: string): ExportRequest => ({
  pool,
  filter: WHOLE_POOL,
  format: 'ndjson',
  shard: undefined,
  credentials: [],
  differential: false,
  held: [],
  isMatch: () => false,
})

/** Throws `media_type_unsupported`. */
function requireNdjson({ headers }: FastifyRequest): void {
  const [mediaType = ''] = (headers['content-type'] ?? '').split(';')
  if (mediaType.trim().toLowerCase() === NDJSON) return
  throw new Problem('media_type_unsupported', `Send ${NDJSON}.`)
}
