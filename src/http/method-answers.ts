import { METHODS } from 'node:http'
import type { FastifyInstance, HTTPMethods } from 'fastify'
import plugin from 'fastify-plugin'
import { Problem } from '../errors.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** To be called when every route is there: answers 405 with `Allow` where a path has no route for the method. */
    refuseOtherMethods(): void
  }
}

/** Fastify answers 404 where the path is right and the method wrong; RFC 9110 section 15.5.6 wants 405. */
export const methodAnswers = plugin(
  (app: FastifyInstance, _options, done) => {
    for (const method of METHODS) if (!app.supportedMethods.includes(method)) app.addHttpMethod(method)
    const methodsOfPath = new Map<string, Set<HTTPMethods>>()
    app.addHook('onRoute', ({ url, method }) => {
      const methods = methodsOfPath.get(url) ?? new Set()
      for (const one of [method].flat()) methods.add(one)
      methodsOfPath.set(url, methods)
    })
    app.decorate('refuseOtherMethods', () => {
      for (const [url, methods] of [...methodsOfPath]) {
        const allow = [...methods].sort().join(', ')
        app.route({
          url,
          method: (app.supportedMethods as HTTPMethods[]).filter((method) => !methods.has(method)),
          schema: { hide: true },
          handler: () => {
            throw new Problem('method_not_allowed', `Use ${allow}.`, { headers: { allow } })
          },
        })
      }
    })
    done()
  },
  { name: 'method-answers' },
)
