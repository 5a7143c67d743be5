import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { BatchConfig } from '../batches/batch-config.ts'
import { TemplateName } from '../batches/batch-schema.ts'
import type { Config } from '../config/config.ts'
import { strict } from '../http/schemas.ts'
import { PoolQuery, poolIdOf, poolParam } from '../pools/pool-parameter.ts'
import { settingsCheck, settingsValidator } from './settings.ts'
import { templateConfigBody } from './template-schema.ts'
import { listOwnTemplates } from './templates.ts'
import { importTemplates } from './write-templates.ts'

export const Faults = Type.Array(Type.Object({ path: Type.String(), code: Type.String(), message: Type.String() }))

/** Accepts any settings: the response says what is wrong with them. */
export const AnySettings = Type.Object(
  {},
  { additionalProperties: true, description: 'Same members as the `config` of a batch' },
)

/** Enough for all templates of a pool, each of the maximum size. */
const IMPORT_BYTES = 8_388_608

/** Moves templates between services, and validates settings before they are stored. */
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
      config: { scope: 'users:read', changesNothing: true },
      schema: {
        operationId: 'validateTemplate',
        tags,
        summary: 'Validate settings without storing them',
        description: 'A password is validated too, and never returned.',
        querystring: PoolQuery,
        body: strict({ ...poolParam, config: AnySettings }),
        example: { config: { username_pattern: '{first}.{n}', custom_attributes: { first: { $name: 'first' } } } },
        response: {
          200: Type.Object({
            is_valid: Type.Boolean(),
            errors: Faults,
            warnings: Faults,
            config: Type.Union([BatchConfig, Type.Null()], {
              description: 'The settings of the smallest possible batch; null if a member is invalid',
            }),
          }),
        },
        problems: [],
      },
    },
    async (request) => {
      await poolIdOf(sql, request)
      return validate(request.body.config)
    },
  )

  app.get(
    '/v1/templates/export',
    {
      config: { scope: 'users:read' },
      schema: {
        operationId: 'exportTemplates',
        tags,
        summary: 'Export the pool’s own templates in the form that the import accepts',
        querystring: PoolQuery,
        response: {
          200: Type.Object({
            templates: Type.Array(
              Type.Object({ name: Type.String(), description: Type.String(), config: templateConfigBody(config) }),
            ),
          }),
        },
        problems: [],
      },
    },
    async (request) => ({ templates: await listOwnTemplates(sql, await poolIdOf(sql, request)) }),
  )

  app.post(
    '/v1/templates/import',
    {
      config: { scope: 'users:write' },
      bodyLimit: IMPORT_BYTES,
      schema: {
        operationId: 'importTemplates',
        tags,
        summary: 'Import templates from an export',
        description:
          'Stores the valid templates in one transaction. Skips the names of built-in and, without `overwrite`, of existing templates.',
        querystring: PoolQuery,
        body: strict({
          ...poolParam,
          templates: Type.Array(
            strict({
              name: TemplateName,
              description: Type.Optional(Type.String({ maxLength: 200 })),
              config: AnySettings,
            }),
            { maxItems: 1000 },
          ),
          overwrite: Type.Optional(Type.Boolean({ default: false })),
        }),
        example: { templates: [{ name: 'silver', config: { custom_attributes: { plan: 'silver' } } }] },
        response: {
          200: Type.Object({
            imported: Type.Array(Type.String()),
            skipped: Type.Array(Type.String()),
            errors: Faults,
          }),
        },
        problems: ['template_limit'],
      },
    },
    async (request) => {
      const { templates, overwrite = false } = request.body
      const poolId = await poolIdOf(sql, request)
      return importTemplates(sql, poolId, templates, { overwrite, check })
    },
  )

  done()
}
