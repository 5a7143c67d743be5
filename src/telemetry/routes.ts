import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Metrics } from './metrics.ts'

/** The endpoint for Prometheus. */
export const metricsRoutes: FastifyPluginCallbackTypebox<{ metrics: Metrics }> = (app, { metrics }, done) => {
  const { registry } = metrics
  app.get(
    '/metrics',
    {
      schema: {
        tags: ['operations'],
        summary: 'Metrics of this process, for Prometheus',
        description: 'Needs no key, like `/livez`: it contains only numbers, and nothing about any user or pool.',
      },
    },
    async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()),
  )
  done()
}
