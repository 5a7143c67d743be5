import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import project from '../../package.json' with { type: 'json' }

/** Serves `/openapi.json`, generated from the route schemas, and `/docs`, a page to read and try it. Register before the routes. */
export const openapi = plugin(
  async (app: FastifyInstance) => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'usersync',
          version: project.version,
          description: 'Creates test users in bulk and keeps load generators in sync by differential exports.',
        },
        components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
        security: [{ key: [] }],
      },
    })
    // Serializing the document takes a millisecond, and the routes do not change: cache the text.
    let text: string | undefined
    const document = () => (text ??= JSON.stringify(app.swagger()))
    await app.register(swaggerUi, {
      routePrefix: '/docs',
      staticCSP: true,
      // The service speaks plain HTTP; a browser that upgrades to https:// gets no response.
      transformStaticCSP: (policy) =>
        policy.replace(' upgrade-insecure-requests;', '').replace("frame-ancestors 'self'", "frame-ancestors 'none'"),
      uiHooks: {
        // Serve the same text for the page's own copies of the document.
        onRequest({ url }, reply, next) {
          if (/^\/docs\/json(\?|$)/.test(url)) reply.type(JSON_TYPE).send(document())
          else next()
        },
      },
    })
    app.get('/openapi.json', { schema: { hide: true } }, (_request, reply) => reply.type(JSON_TYPE).send(document()))
  },
  { name: 'openapi' },
)

const JSON_TYPE = 'application/json; charset=utf-8'
