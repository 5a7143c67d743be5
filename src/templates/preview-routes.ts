import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { BatchConfig } from '../batches/batch-config.ts'
import { batchBody } from '../batches/request-batch.ts'
import type { Config } from '../config/config.ts'
import { Nullable, strict } from '../http/schemas.ts'
import { PoolQuery, poolIdOf } from '../pools/pool-parameter.ts'
import { CustomAttributes } from '../users/user-schema.ts'
import { AnySettings, Faults } from './exchange-routes.ts'
import { batchPreviewer } from './preview.ts'

/** Shows the users of a batch before it is created. */
export const previewRoutes: FastifyPluginCallbackTypebox<{ config: Config; sql: Sql }> = (
  app,
  { config, sql },
  done,
) => {
  const preview = batchPreviewer(sql, config)

  app.post(
    '/v1/batches/preview',
    {
      config: { scope: 'users:read', changesNothing: true },
      schema: {
        operationId: 'previewBatch',
        tags: ['batches'],
        summary: 'Show the first users of a batch without creating it',
        description:
          'Takes the body of POST /v1/batches and returns up to 100 users, with every fault and warning. Writes nothing. Send the returned seed to create these users.',
        querystring: PoolQuery,
        body: strict({ ...batchBody(config).properties, config: Type.Optional(AnySettings) }),
        example: { count: 3, config: { custom_attributes: { age: { $int: [18, 90] } } } },
        response: {
          200: Type.Object({
            is_valid: Type.Boolean(),
            errors: Faults,
            warnings: Faults,
            config: Nullable(BatchConfig),
            users: Type.Array(
              Type.Object({
                id: Nullable(Type.String()),
                username: Type.String(),
                email: Type.String(),
                role: Type.String(),
                custom_attributes: CustomAttributes,
                created_at: Nullable(Type.String()),
              }),
              { description: 'id and created_at are null unless the settings have an epoch' },
            ),
            estimated_seconds: Nullable(Type.Object({ hashing: Type.Number(), creating: Type.Number() })),
          }),
        },
        problems: ['template_not_found'],
      },
    },
    async (request) => {
      const { count, template = 'default', config: given = {} } = request.body
      const poolId = await poolIdOf(sql, request)
      return await preview({ poolId, count, template, given })
    },
  )

  done()
}
