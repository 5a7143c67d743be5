import { Readable } from 'node:stream'
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { sendHead } from '../http/compression.ts'
import type { Coding } from '../http/content-coding.ts'
import { poolName } from '../pools/pool-parameter.ts'
import type { State } from '../protocol/state.ts'
import { oldestBaseAt } from '../states/scope-state.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { filterMembers, filterOf } from '../users/filter-parameters.ts'
import { planAnswer } from './answer.ts'
import { CACHING_HEADERS, stateHeaders, unchangedHeaders } from './answer-headers.ts'
import { ExportQuery, readExportRequest } from './export-request.ts'
import type { Export, Exports } from './exports.ts'
import { FORMATS } from './format.ts'

interface ExportRoutesOptions {
  sql: Sql
  exports: Exports
  metrics: Metrics
}

/** States, and the export by the state that the client holds: unchanged, a delta, or full. */
export const exportRoutes: FastifyPluginCallbackTypebox<ExportRoutesOptions> = (app, options, done) => {
  const { sql, exports, metrics } = options
  const config = { scope: 'users:read' } as const
  const tags = ['export']

  // An export whose client has gone still reads its last page; the driver waits for none when its connections are closed.
  app.addHook('onClose', () => exports.drain())

  app.get(
    '/v1/states/current',
    {
      config,
      schema: {
        tags,
        summary: 'The present state of a filter',
        querystring: Type.Object(filterMembers, { additionalProperties: false }),
        response: {
          200: Type.Object({
            state: Type.String(),
            total_count: Type.Integer(),
            oldest_base_at: Type.Union([Type.String(), Type.Null()]),
          }),
        },
      },
    },
    async (request) => {
      const filter = filterOf(request, request.query)
      const { poolId, state, userCount } = await exports.currentScope({ pool: poolName(request.query), filter })
      return { state, total_count: userCount, oldest_base_at: await oldestBaseAt(sql, { poolId, ...filter }) }
    },
  )

  app.get(
    '/v1/users/export',
    {
      config: { ...config, work: true },
      schema: {
        tags,
        summary: 'Export users: unchanged, a delta, or all',
        description:
          'Send the state that you hold as `base=` or `If-None-Match`. See “States and differential export”.',
        querystring: ExportQuery,
      },
    },
    async (request, reply) => {
      const asked = readExportRequest(request, request.query)
      const present = await exports.currentScope(asked)
      if (asked.isMatch(present.state)) return sendNotModified(reply, present.state, metrics)
      reply.headers(CACHING_HEADERS)
      reply.type(`${FORMATS[asked.format].mediaType}; charset=utf-8`)
      if (request.method === 'HEAD') {
        const filter = { poolId: present.poolId, ...asked.filter }
        const plan = await planAnswer(sql, filter, present, asked)
        reply.headers(stateHeaders(plan.kind, plan.base?.state, present.state))
        metrics.exported(plan)
        return reply.send(Readable.from([])) // a stream, or Fastify would tell the length of nothing
      }
      // The compression plugin has settled the coding, and leaves alone what is encoded.
      const exported = await exports.open(asked, request.headers['accept-encoding'] as Coding)
      if (asked.isMatch(exported.state)) {
        discardBody(exported)
        return sendNotModified(reply.removeHeader('content-type'), exported.state, metrics)
      }
      reply.headers(stateHeaders(exported.plan.kind, exported.plan.base?.state, exported.state))
      metrics.exported(exported.plan)
      return sendBody(reply, exported)
    },
  )

  done()
}

function sendNotModified(reply: FastifyReply, state: State, metrics: Metrics) {
  metrics.exported({ kind: 'unchanged' })
  return sendHead(reply, 304, unchangedHeaders(state))
}

/** A text of this size is compressed on the main thread in about a millisecond; a longer one is better streamed. */
const SMALL_TEXT = 32_768

function sendBody(reply: FastifyReply, { body }: Export) {
  if ('text' in body) {
    if (body.text.length < SMALL_TEXT) return reply.send(body.text)
    reply.plainBytes = Buffer.byteLength(body.text)
    return reply.send(Readable.from([body.text], { objectMode: false }))
  }
  if (body.encoded !== undefined && body.encoded !== 'identity') reply.header('content-encoding', body.encoded)
  if (body.bytes !== undefined) reply.header('content-length', body.bytes)
  return reply.send(body.stream)
}

function discardBody({ body }: Export) {
  if ('stream' in body) body.stream.destroy()
}
