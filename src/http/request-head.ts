import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import { Problem } from '../errors.ts'

/**
 * Refuses what Node's parser lets pass: HTTP/0.9, several `Host` headers, of which a proxy might go by another than we do,
 * and in HTTP/1.1 none (RFC 9112 section 3.2). Node's own check, `requireHostHeader`, must be off: it answers without a body.
 * That several are taken is Node's wont (nodejs/node#3094 and #39322).
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

/** Names and values follow one another. Node's `headersDistinct` would sort all of them for each request. */
function countHosts(rawHeaders: string[]): number {
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  return hosts
}
