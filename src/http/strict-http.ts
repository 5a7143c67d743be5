import type { IncomingMessage } from 'node:http'
import type { FastifyContextConfig, FastifyInstance, FastifyRequest, HTTPMethods } from 'fastify'
import plugin from 'fastify-plugin'
import { Problem } from '../errors.ts'
import { routeNotFound } from './error-responses.ts'

/**
 * Ignores an `Expect` other than `100-continue`, as RFC 9110 section 10.1.1 allows: Node would answer 417 by itself, without a
 * body and without a log line.
 */
export const expectations = plugin(
  (app: FastifyInstance, _options, done) => {
    app.server.on('checkExpectation', (request, response) => app.routing(request, response))
    done()
  },
  { name: 'expectations' },
)

/**
 * Ignores `Range`, as RFC 9110 section 14.2 allows: @fastify/static answers one that cannot be satisfied with an error that has no code
 * of the catalogue.
 */
export const ranges = plugin(
  (app: FastifyInstance, _options, done) => {
    app.addHook('onRequest', ({ headers }, _reply, next) => {
      if (headers.range !== undefined) headers.range = undefined
      next()
    })
    done()
  },
  { name: 'ranges' },
)

declare module 'fastify' {
  interface FastifyContextConfig {
    /** For a route of many addresses: whether there is something at that of the request. If not, every method is 404. */
    isThere?: (request: FastifyRequest) => boolean
  }
  interface FastifyInstance {
    /** Answers 405 with `Allow` if a path has no route for the method. Call it after all routes are registered. */
    refuseOtherMethods(): void
  }
}

/** The methods of the service's routes. */
const USED = new Set<string | undefined>(['DELETE', 'GET', 'HEAD', 'PATCH', 'POST', 'PUT'])

/** Stands for the 29 other methods that Node's parser knows. */
const STAND_IN = 'TRACE'

const unusedMethods = new WeakMap<IncomingMessage, string | undefined>()

/**
 * Lets the router see one method in place of all that no route uses: with each of them, it has 2,000 routes that answer 405, which
 * take 0.1 s of CPU time at every start. Fastify calls it before it routes a request (`rewriteUrl`). `originalMethod` ends it.
 */
export function routeUnusedMethods(raw: IncomingMessage): string {
  if (!USED.has(raw.method)) {
    unusedMethods.set(raw, raw.method)
    raw.method = STAND_IN
  }
  return raw.url ?? '/'
}

/** Gives a request its own method back, before any other hook reads it. */
export const originalMethod = plugin(
  (app: FastifyInstance, _options, done) => {
    app.addHook('onRequest', ({ raw }, _reply, next) => {
      if (unusedMethods.has(raw)) raw.method = unusedMethods.get(raw)
      next()
    })
    done()
  },
  { name: 'original-method' },
)

/**
 * Checks address and method before the body is read. Fastify answers 404 if the path is right and the method wrong; RFC 9110
 * section 15.5.6 requires 405. For an unknown path or method it also parses the body first, so the answer to
 * `curl -T users.csv` would be 415.
 */
export const methodResponses = plugin(
  (app: FastifyInstance, _options, done) => {
    const paths = new Map<string, { methods: Set<HTTPMethods>; config: FastifyContextConfig }>()
    app.addHook('onRoute', ({ url, method, config = {} }) => {
      const { methods } = paths.get(url) ?? { methods: new Set() }
      for (const one of [method].flat()) methods.add(one)
      paths.set(url, { methods, config })
    })
    app.addHook('onRequest', (request, _reply, next) => next(addressProblem(request)))
    app.decorate('refuseOtherMethods', () => {
      for (const [url, { methods, config }] of [...paths]) {
        const allow = [...methods].sort().join(', ')
        app.route({
          url,
          config: { ...(config.isThere && { isThere: config.isThere }) },
          method: ([...USED, STAND_IN] as HTTPMethods[]).filter((method) => !methods.has(method)),
          schema: { hide: true },
          onRequest: (_request, _reply, next) => {
            next(new Problem('method_not_allowed', `Use ${allow}.`, { headers: { allow } }))
          },
          handler: () => {},
        })
      }
    })
    done()
  },
  { name: 'method-answers' },
)

/**
 * Without this, `/v1/batches/` would be read as the batch with an empty id, and `*`, which is no path (RFC 9112 section 3.2.4),
 * as `/`.
 */
function addressProblem(request: FastifyRequest): Problem | undefined {
  const { is404, url } = request
  const [, withoutSlash] = /^(\/v1\/[^?]*[^?/])\/+(\?|$)/.exec(url) ?? []
  if (withoutSlash) return routeNotFound(`No route ends in a slash. Use ${withoutSlash}.`)
  const { isThere } = request.routeOptions.config
  return is404 || url === '*' || isThere?.(request) === false ? routeNotFound() : undefined
}

/**
 * Rejects what Node's parser accepts: HTTP/0.9, several `Host` headers (a proxy might use another one than we do), and none in
 * HTTP/1.1 (RFC 9112 section 3.2). Node's own check, `requireHostHeader`, must be off: it answers without a body. Node accepts
 * duplicate Host headers (nodejs/node#3094 and #39322).
 */
export const requestHead = plugin(
  (app: FastifyInstance, _options, done) => {
    app.addHook('onRequest', ({ raw }, reply, next) => {
      const hosts = countHosts(raw.rawHeaders)
      if (raw.httpVersion === '1.1' ? hosts === 1 : raw.httpVersion === '1.0' && hosts <= 1) return next()
      reply.header('connection', 'close')
      next(new Problem('invalid_request', 'Send HTTP/1.1 with one Host header.'))
    })
    done()
  },
  { name: 'request-head' },
)

/** Names and values alternate. Node's `headersDistinct` would sort all headers of each request. */
function countHosts(rawHeaders: string[]): number {
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  return hosts
}
