import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { TemplateName } from '../batches/batch-schema.ts'
import type { Config } from '../config/config.ts'
import { type Cursors, makePage, pageOf, pageParams } from '../http/pagination.ts'
import { strict } from '../http/schemas.ts'
import { PoolQuery, poolIdOf, poolOf, poolParam, urlInPool } from '../pools/pool-parameter.ts'
import { findPoolId } from '../pools/pools.ts'
import { settingsCheck } from './settings.ts'
import { templateAnswer, templateMembers } from './template-schema.ts'
import { listTemplates, readTemplate } from './templates.ts'
import { createTemplate, deleteTemplate, putTemplate } from './write-templates.ts'

interface TemplateRoutesOptions {
  config: Config
  sql: Sql
  cursors: Cursors
}

const TemplatePath = Type.Object({ name: { ...TemplateName, examples: ['default'] } })

const locationOf = (name: string, pool: string) => urlInPool(`/v1/templates/${name}`, pool)

/** Creation settings by name: the built-in templates and the pool's own. */
export const templateRoutes: FastifyPluginCallbackTypebox<TemplateRoutesOptions> = (app, options, done) => {
  const { config, sql, cursors } = options
  const check = settingsCheck(config)
  const read = { scope: 'users:read' } as const
  const write = { scope: 'users:write' } as const
  const tags = ['templates']
  const members = templateMembers(config)
  const TemplateResponse = templateAnswer(config)

  app.get(
    '/v1/templates',
    {
      config: read,
      schema: {
        operationId: 'listTemplates',
        tags,
        summary: 'List templates by name, built-in and own',
        querystring: strict({ ...poolParam, ...pageParams }),
        response: { 200: pageOf(TemplateResponse) },
        problems: [],
      },
    },
    async (request, reply) => {
      const { limit = 100, cursor } = request.query
      const poolId = await poolIdOf(sql, request)
      const listing = `templates ${poolId}`
      const items = await listTemplates(sql, poolId, cursors.decode(listing, cursor) ?? '', limit)
      return makePage({ request, reply, cursors, listing }, items, ({ name }) => name)
    },
  )

  app.post(
    '/v1/templates',
    {
      config: write,
      schema: {
        operationId: 'createTemplate',
        tags,
        summary: 'Create a template',
        querystring: PoolQuery,
        body: strict({ ...poolParam, name: TemplateName, ...members }),
        example: { name: 'gold', config: { role: 'admin', custom_attributes: { plan: 'gold' } } },
        response: { 201: TemplateResponse },
        problems: ['pattern_invalid', 'template_built_in', 'template_exists', 'template_limit', 'domain_not_reserved'],
      },
    },
    async (request, reply) => {
      const { name, description = '' } = request.body
      const settings = check(request.body.config)
      const pool = poolOf(request)
      const poolId = await findPoolId(sql, pool)
      const template = await createTemplate(sql, poolId, { name, description, config: settings })
      return reply.code(201).header('location', locationOf(name, pool)).send(template)
    },
  )

  app.get(
    '/v1/templates/:name',
    {
      config: read,
      schema: {
        operationId: 'getTemplate',
        tags,
        summary: 'Read a template',
        params: TemplatePath,
        querystring: PoolQuery,
        response: { 200: TemplateResponse },
        problems: ['template_not_found'],
      },
    },
    async (request) => readTemplate(sql, await poolIdOf(sql, request), request.params.name),
  )

  app.put(
    '/v1/templates/:name',
    {
      config: write,
      schema: {
        operationId: 'putTemplate',
        tags,
        summary: 'Create or replace a template',
        description:
          'Returns 201 if the template is new, else 200. Batches created from the previous version do not change.',
        params: TemplatePath,
        querystring: PoolQuery,
        body: strict({ ...poolParam, ...members }),
        example: { description: 'Gold customers', config: { custom_attributes: { plan: 'gold' } } },
        response: { 200: TemplateResponse, 201: TemplateResponse },
        problems: ['pattern_invalid', 'template_built_in', 'template_limit', 'domain_not_reserved'],
      },
    },
    async (request, reply) => {
      const { name } = request.params
      const { description = '' } = request.body
      const settings = check(request.body.config)
      const pool = poolOf(request)
      const poolId = await findPoolId(sql, pool)
      const { template, isNew } = await putTemplate(sql, poolId, { name, description, config: settings })
      if (isNew) reply.code(201).header('location', locationOf(name, pool))
      return reply.send(template)
    },
  )

  app.delete(
    '/v1/templates/:name',
    {
      config: write,
      schema: {
        operationId: 'deleteTemplate',
        tags,
        summary: 'Delete a template',
        params: TemplatePath,
        querystring: PoolQuery,
        response: { 204: Type.Null() },
        problems: ['template_not_found', 'template_built_in'],
      },
    },
    async (request, reply) => {
      await deleteTemplate(sql, await poolIdOf(sql, request), request.params.name)
      return reply.code(204).send(null)
    },
  )

  done()
}
