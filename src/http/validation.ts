import { promisify } from 'node:util'
import { Ajv } from 'ajv'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import { Problem } from '../errors.ts'
import { hasBody } from './has-body.ts'
import { requireExactNumbers, requireStorable } from './storable.ts'

type JsonParser = (request: FastifyRequest, text: string, done: (error: Error | null, body?: unknown) => void) => void

const emptyBody = () => new Problem('invalid_json', 'The body is empty; send a JSON object.')

/** What tells of a body only. Many clients send the first with each request. */
const OF_THE_BODY = ['content-type', 'content-encoding']

/**
 * Strict input: a body is JSON or, where a route says so, what the route reads itself; unknown members are refused, not
 * removed, and a body's values are taken as they are (`"5"` is no number). Query and path values come as text, so there, and
 * only there, they are read as the type that the schema wants. Where there is no body, what tells of one is passed over.
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
    const parse = promisify(app.getDefaultJsonParser('error', 'error') as JsonParser)
    app.removeContentTypeParser(['application/json', 'text/plain'])
    app.addContentTypeParser(
      'application/json',
      { parseAs: 'string' },
      async (request: FastifyRequest, text: string) => {
        const body = await parse(request, text)
        requireStorable(body)
        requireExactNumbers(text)
        return body
      },
    )
    // Fastify would read a body wherever a type is told, and wait without end: Node plays no events for one that is not there
    // (`optimizeEmptyRequests`).
    app.addHook('onRequest', ({ raw: { headers }, routeOptions }, _reply, next) => {
      if (!hasBody(headers) && !routeOptions.config.readsBody) {
        for (const name of OF_THE_BODY) if (name in headers) delete headers[name]
      }
      next()
    })
    app.addHook('preValidation', ({ body, routeOptions: { schema, config } }, _reply, next) => {
      next(body === undefined && schema?.body && !config.readsBody ? emptyBody() : undefined)
    })
    app.setValidatorCompiler(({ schema, httpPart }) => (httpPart === 'body' ? bodies : texts).compile(schema as object))
    done()
  },
  { name: 'validation' },
)
