import { Ajv } from 'ajv'
import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import { hasBody } from './has-body.ts'
import { requireStorable } from './storable.ts'

/** What tells of a body only. Many clients send the first with each request. */
const OF_THE_BODY = ['content-type', 'content-encoding']

/**
 * Strict input: a body is JSON or, where a route says so, what the route reads itself; unknown members are refused, not removed, and a body's values are taken as they are (`"5"` is no number).
 * Query and path values come as text, so there, and only there, they are read as the type that the schema wants. Where there is
 * no body, what tells of one is passed over.
 */
export const validation = plugin(
  (app: FastifyInstance, _options, done) => {
    const options = {
      allErrors: false,
      removeAdditional: false,
      useDefaults: true,
      strict: false,
      validateFormats: false,
      validateSchema: false, // the schemas are the service's own, and JSON Schema's takes 0.1 s to compile
    } as const
    const bodies = new Ajv({ ...options, coerceTypes: false })
    const texts = new Ajv({ ...options, coerceTypes: true })
    app.removeContentTypeParser('text/plain')
    // Fastify would read a body wherever a type is told, and wait without end: Node plays no events for one that is not there
    // (`optimizeEmptyRequests`).
    app.addHook('onRequest', ({ raw: { headers }, routeOptions }, _reply, next) => {
      if (!hasBody(headers) && !routeOptions.config.readsBody) {
        for (const name of OF_THE_BODY) if (name in headers) delete headers[name]
      }
      next()
    })
    app.addHook('preValidation', (request, _reply, next) => {
      requireStorable(request.body)
      next()
    })
    app.setValidatorCompiler(({ schema, httpPart }) => (httpPart === 'body' ? bodies : texts).compile(schema as object))
    done()
  },
  { name: 'validation' },
)
