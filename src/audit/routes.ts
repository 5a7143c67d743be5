import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import type { Cursors } from '../http/pagination.ts'
import { makePage, pageMembers } from '../http/pagination.ts'
import { orNull } from '../http/schemas.ts'
import { PoolName } from '../pools/pool-parameter.ts'
import { listEvents } from './audit-events.ts'

const EventAnswer = Type.Object({
  id: Type.String(),
  at: Type.String(),
  actor: orNull(Type.String({ description: 'The name of the key; null: none is configured, or the service itself' })),
  action: Type.String(),
  pool: orNull(Type.String()),
  subject: orNull(Type.String()),
  status: Type.Integer(),
  code: orNull(Type.String()),
  counts: Type.Record(Type.String(), Type.Integer()),
  request_id: orNull(Type.String()),
})

/** What was changed, by whom: for administrators. */
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
        tags: ['audit'],
        summary: 'List changes, the newest first',
        description:
          'Every request that may change something and whose key may do so, refused ones too, and what the service removed by itself. Without `pool` of all pools.',
        querystring: Type.Object({ pool: Type.Optional(PoolName), ...pageMembers }, { additionalProperties: false }),
        response: { 200: Type.Object({ items: Type.Array(EventAnswer), next_cursor: orNull(Type.String()) }) },
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
