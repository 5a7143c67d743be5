import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import type { Coding } from '../http/content-coding.ts'
import type { Cursors } from '../http/pagination.ts'
import { sendWithoutBody } from '../http/replies.ts'
import { CACHING_HEADERS, stateHeaders } from './answer-headers.ts'
import { answerPart } from './answer-part.ts'
import { ExportQuery, readExportRequest } from './export-request.ts'
import { EXPORT_HEADERS, ExportResponse, NotModified } from './export-schema.ts'
import type { Exports } from './exports.ts'
import { FORMATS } from './format.ts'
import { planAnswer } from './make-answer.ts'
import { isPartQuery } from './part-request.ts'
import { discardBody, sendBody } from './send-body.ts'
import { type ExportObserver, sendNotModified } from './send-not-modified.ts'

interface ExportRoutesOptions {
  sql: Sql
  cursors: Cursors
  exports: Exports
  observer: ExportObserver
}

/** Serves states, and exports for the state that the client has: unchanged, a delta, or full. */
export const exportRoutes: FastifyPluginCallbackTypebox<ExportRoutesOptions> = (app, options, done) => {
  const { sql, exports, observer } = options
  const config = { scope: 'users:read' } as const
  const tags = ['export']

  // An export whose client has disconnected still reads its last page, and the driver does not wait for it when it
  // closes connections.
  app.addHook('onClose', () => exports.drain())

  app.get(
    '/v1/users/export',
    {
      config: { ...config, work: true },
      schema: {
        operationId: 'exportUsers',
        tags,
        summary: 'Export users: unchanged, a delta, or all',
        description:
          'Send the state that you have as `base=` or `If-None-Match`. See “States and differential export”.',
        querystring: ExportQuery,
        headers: Type.Object({
          'if-none-match': Type.Optional(Type.String({ description: 'States that the client has' })),
        }),
        response: { 200: ExportResponse, 304: NotModified },
        responseHeaders: [...EXPORT_HEADERS, 'Usersync-Pool-Created'],
        problems: ['base_invalid', 'users_not_importable', 'shutting_down'],
      },
    },
    async (request, reply) => {
      if (isPartQuery(request.query)) return await answerPart(request, reply, request.query, options)
      const exportRequest = readExportRequest(request, request.query)
      const present = await exports.currentScope(exportRequest)
      // Two pools of one name can have the same state with other logins. Sent only with logins: other 304s take no extra header.
      if (exportRequest.credentials.length > 0) reply.header('usersync-pool-created', present.poolCreatedAt)
      if (exportRequest.isMatch(present.state)) return sendNotModified(reply, present.state, observer)
      reply.headers(CACHING_HEADERS)
      reply.type(`${FORMATS[exportRequest.format].mediaType}; charset=utf-8`)
      if (request.method === 'HEAD') {
        const filter = { poolId: present.poolId, ...exportRequest.filter }
        const plan = await planAnswer(sql, filter, present, exportRequest)
        reply.headers(stateHeaders(plan.kind, plan.base?.state, present.state))
        observer.exported(plan)
        return sendWithoutBody(reply)
      }
      // The compression plugin has already chosen the coding, and does not encode an encoded body again.
      const exported = await exports.open(exportRequest, request.headers['accept-encoding'] as Coding)
      if (exportRequest.isMatch(exported.state)) {
        discardBody(exported)
        return sendNotModified(reply.removeHeader('content-type'), exported.state, observer)
      }
      reply.headers(stateHeaders(exported.plan.kind, exported.plan.base?.state, exported.state))
      observer.exported(exported.plan)
      return sendBody(reply, exported)
    },
  )

  done()
}
