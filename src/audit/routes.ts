import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { type Cursors, makePage, pageOf, pageParams } from '../http/pagination.ts'
import { Nullable, named, strict } from '../http/schemas.ts'
import { PoolName } from '../pools/pool-parameter.ts'
import { listEvents } from './audit-events.ts'

export const EventResponse = named('AuditEvent', {
  id: Type.String(),
  at: Type.String(),
  actor: Nullable(
    Type.String({
      description:
        'The name of the API key; null if no key is configured, or the service itself or a job made the change',
    }),
  ),
  action: Type.String(),
  pool: Nullable(Type.String()),
  subject: Nullable(Type.String()),
  status: Type.Integer(),
  code: Nullable(Type.String()),
  counts: Type.Record(Type.String(), Type.Integer()),
  request_id: Nullable(Type.String()),
})

/** Lists the recorded changes. For administrators. */
export const auditRoutes: FastifyPluginCallbackTypebox<{ sql: Sql; cursors: Cursors }> = (
  app,
  { sql, cursors },
  done,
) => {
  app.get(
    '/v1/audit',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'listAuditEvents',
        tags: ['audit'],
        summary: 'List changes, newest first',
        description:
          'Every authorised mutating request, rejected ones included, everything that the service removed by itself, and what jobs changed. Without `pool`, lists the changes of all pools.',
        querystring: strict({ pool: Type.Optional(PoolName), ...pageParams }),
        response: { 200: pageOf(EventResponse) },
        problems: [],
      },
    },
    async (request, reply) => {
      const { limit = 100, cursor, pool } = request.query
      const listing = `audit ${pool}`
      const before = cursors.decode(listing, cursor)
      const events = await listEvents(sql, { pool, before, limit })
      return makePage({ request, reply, cursors, listing }, events, ({ id }) => id)
    },
  )

  done()
}
