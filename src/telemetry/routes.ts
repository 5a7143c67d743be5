import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Metrics } from './metrics.ts'

/** What Prometheus reads. */
export const metricsRoutes: FastifyPluginCallbackTypebox<{ metrics: Metrics }> = (app, { metrics }, done) => {
  const { registry } = metrics
  app.get(
    '/metrics',
    {
      schema: {
        tags: ['operations'],
        summary: 'What this process counts and times, for Prometheus',
        description: 'Open like `/livez`, with or without keys: it tells numbers, and nothing of any user or pool.',
      },
    },
    async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()),
  )
  done()
}
