import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance, RouteOptions } from 'fastify'
import plugin from 'fastify-plugin'
import project from '../../../package.json' with { type: 'json' }
import { completeDocument, type Document } from './document.ts'

const DESCRIPTION = `Creates test users in bulk and keeps load generators in sync by differential exports.

Errors are problems (RFC 9457) with a stable \`code\`. Unknown members and parameters are rejected. The service also answers HEAD
wherever it answers GET, 405 with \`Allow\` for other methods, and encodes responses by \`Accept-Encoding\` (zstd, br, gzip, deflate).`

const KEY = {
  type: 'http',
  scheme: 'bearer',
  description:
    'An API key. Each operation names the scope that the key needs; `admin` includes all. A service that listens on loopback only and has no keys needs none.',
} as const

const BASIC = {
  type: 'http',
  scheme: 'basic',
  description: 'The key as the password, for clients that can send nothing else. The name is not used.',
} as const

const SERVER = { url: '/', description: 'This service' }

/** The features of the service. Each route belongs to one. */
const TAGS = {
  pools: 'Systems under test. Every user, batch, state and export belongs to one pool',
  templates: 'Settings of batches, by name',
  batches: 'Bulk creation of users',
  users: 'Single users, imports and counts',
  clients: 'Clients that load generators copy',
  'simple table server': 'Leases in the form of JMeter’s Simple Table Server',
  export: 'States and differential exports',
  leases: 'Users in one hand at a time',
  lifecycle: 'Removal of expired batches',
  audit: 'The record of all changes',
  sync: 'Pushes to other services, and into systems under test',
  replica: 'The receiving side of sync',
  operations: 'Health and metrics',
}

/** Throws an Error if a route does not say what the description needs. */
function requireDescribed({ method, url, schema = {}, config }: RouteOptions): void {
  const { operationId, summary, problems, response, body, example, tags = [] } = schema
  const lacks = [
    ...Object.entries({ operationId, summary, problems, response }).flatMap(([name, value]) => (value ? [] : [name])),
    ...(body && !example && !config?.readsBody ? ['example'] : []),
    ...(tags.length === 1 && tags.every((tag) => tag in TAGS) ? [] : [`one tag of ${Object.keys(TAGS)}`]),
  ]
  if (lacks.length > 0) throw new Error(`The schema of ${method} ${url} lacks ${lacks.join(', ')}`)
}

/** Serves `/openapi.json`, generated from the route schemas, and `/docs`, a page to read and try it. Register before the routes. */
export const openapi = plugin(
  async (app: FastifyInstance) => {
    const routes = new Map<string, RouteOptions>()
    const routeOf = (method: string, path: string) => {
      const route = routes.get(`${method} ${path}`)
      if (!route) throw new Error(`the description has the unknown route ${method} ${path}`)
      return route
    }
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'usersync',
          version: project.version,
          description: DESCRIPTION,
          license: { name: 'MIT', identifier: 'MIT' },
        },
        servers: [SERVER],
        tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
        components: { securitySchemes: { key: KEY, basic: BASIC } },
        security: [{ key: [] }],
      },
      transformObject: (document) =>
        'openapiObject' in document ? completeDocument(document.openapiObject as Document, routeOf) : {},
    })
    // Serializing the document takes a millisecond, and the routes do not change: cache the text.
    let text: string | undefined
    const document = () => (text ??= JSON.stringify(app.swagger()))
    // The page requests /docs/json. Relative to that, so that it also works behind a proxy that adds a path.
    let pageText: string | undefined
    const pageDocument = () => (pageText ??= JSON.stringify({ ...app.swagger(), servers: [{ ...SERVER, url: '..' }] }))
    await app.register(swaggerUi, {
      routePrefix: '/docs',
      staticCSP: true,
      // The service speaks plain HTTP; a browser that upgrades to https:// gets no response.
      transformStaticCSP: (policy) =>
        policy.replace(' upgrade-insecure-requests;', '').replace("frame-ancestors 'self'", "frame-ancestors 'none'"),
      uiHooks: {
        onRequest({ url }, reply, next) {
          if (/^\/docs\/json(\?|$)/.test(url)) reply.type(JSON_TYPE).send(pageDocument())
          // The addresses in the page are relative only if its own ends in a slash.
          else if (/^\/docs(\?|$)/.test(url)) reply.redirect('docs/', 302)
          else next()
        },
      },
    })
    app.get('/openapi.json', { schema: { hide: true } }, (_request, reply) => reply.type(JSON_TYPE).send(document()))
    app.addHook('onRoute', (route) => {
      if (route.method === 'HEAD' || route.schema?.hide) return
      requireDescribed(route)
      for (const method of [route.method].flat()) routes.set(`${method} ${route.url.replace(/:(\w+)/g, '{$1}')}`, route)
    })
  },
  { name: 'openapi' },
)

const JSON_TYPE = 'application/json; charset=utf-8'
