import { Ajv } from 'ajv'
import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import { requireStorable } from './storable.ts'

/**
 * Strict input: a body is JSON or, where a route says so, what the route reads itself; unknown members are refused, not removed, and a body's values are taken as they are (`"5"` is no number).
 * Query and path values come as text, so there, and only there, they are read as the type that the schema wants.
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
    app.addHook('preValidation', (request, _reply, next) => {
      requireStorable(request.body)
      next()
    })
    app.setValidatorCompiler(({ schema, httpPart }) => (httpPart === 'body' ? bodies : texts).compile(schema as object))
    done()
  },
  { name: 'validation' },
)
