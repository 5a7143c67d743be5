import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { BatchConfig } from '../batches/batch-config.ts'
import type { Config } from '../config/config.ts'
import { poolMember, poolName } from '../pools/pool-parameter.ts'
import { findPoolId } from '../pools/pools.ts'
import { settingsCheck, settingsValidator } from './settings.ts'
import { TemplateName, templateConfigBody } from './template-schema.ts'
import { listOwnTemplates } from './templates.ts'
import { importTemplates } from './write-templates.ts'

const PoolQuery = Type.Object(poolMember, { additionalProperties: false })
const Faults = Type.Array(Type.Object({ path: Type.String(), code: Type.String(), message: Type.String() }))

/** Settings that are to be looked at whatever they are: the answer tells what is wrong in them. */
const AnySettings = Type.Object({}, { description: 'As the `config` of a batch' })

/** All templates that a pool can have, each as large as it may be. */
const IMPORT_BYTES = 8_388_608

/** Templates from one service to another, and settings looked at before they are kept. */
export const templateExchangeRoutes: FastifyPluginCallbackTypebox<{ config: Config; sql: Sql }> = (
  app,
  { config, sql },
  done,
) => {
  const validate = settingsValidator(config)
  const check = settingsCheck(config)
  const tags = ['templates']

  app.post(
    '/v1/templates/validate',
    {
      config: { scope: 'users:read' },
      schema: {
        tags,
        summary: 'Judge settings without writing any',
        description: 'A password among them is judged, and never told.',
        querystring: PoolQuery,
        body: Type.Object({ ...poolMember, config: AnySettings }, { additionalProperties: false }),
        response: {
          200: Type.Object({
            is_valid: Type.Boolean(),
            errors: Faults,
            warnings: Faults,
            config: Type.Union([BatchConfig, Type.Null()], {
              description: 'As a batch of the fewest users would have it; null where a member is wrong',
            }),
          }),
        },
      },
    },
    async (request) => {
      await findPoolId(sql, poolName(request.query, request.body))
      return validate(request.body.config)
    },
  )

  app.get(
    '/v1/templates/export',
    {
      config: { scope: 'users:read' },
      schema: {
        tags,
        summary: 'Read the pool’s own templates as an import takes them',
        querystring: PoolQuery,
        response: {
          200: Type.Object({
            templates: Type.Array(
              Type.Object({ name: Type.String(), description: Type.String(), config: templateConfigBody(config) }),
            ),
          }),
        },
      },
    },
    async (request) => ({ templates: await listOwnTemplates(sql, await findPoolId(sql, poolName(request.query))) }),
  )

  app.post(
    '/v1/templates/import',
    {
      config: { scope: 'users:write' },
      bodyLimit: IMPORT_BYTES,
      schema: {
        tags,
        summary: 'Take over templates from an export',
        description: 'Those that are right, in one transaction. Built-in names are skipped, and those that are there.',
        querystring: PoolQuery,
        body: Type.Object(
          {
            ...poolMember,
            templates: Type.Array(
              Type.Object(
                {
                  name: TemplateName,
                  description: Type.Optional(Type.String({ maxLength: 200 })),
                  config: AnySettings,
                },
                { additionalProperties: false },
              ),
              { maxItems: 1000 },
            ),
            overwrite: Type.Optional(Type.Boolean({ default: false })),
          },
          { additionalProperties: false },
        ),
        response: {
          200: Type.Object({
            imported: Type.Array(Type.String()),
            skipped: Type.Array(Type.String()),
            errors: Faults,
          }),
        },
      },
    },
    async (request) => {
      const { templates, overwrite = false } = request.body
      const poolId = await findPoolId(sql, poolName(request.query, request.body))
      return importTemplates(sql, poolId, templates, { overwrite, check })
    },
  )

  done()
}
