import {
  type Attributes,
  defaultTextMapGetter,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
} from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import { isProbe } from '../http/request-log.ts'

const propagator = new W3CTraceContextPropagator()

/**
 * Creates a SERVER span for each request but probes, until its response ends or is cut off, by OpenTelemetry's stable HTTP
 * conventions. It is a child of the client's span if the request names one (W3C Trace Context). The log lines of the request have
 * the trace id, as `trace_id`.
 */
export const requestSpans = plugin<{ tracer: Tracer }>(
  (app: FastifyInstance, { tracer }, done) => {
    app.addHook('onRequest', (request, reply, next) => {
      if (isProbe(request)) return next()
      const { method, route } = methodAndRoute(request)
      const parent = propagator.extract(ROOT_CONTEXT, request.headers, defaultTextMapGetter)
      const attributes = {
        'http.request.method': method,
        'http.route': route,
        'url.scheme': request.protocol,
        'usersync.request.id': request.id,
      }
      const name = `${method === '_OTHER' ? 'HTTP' : method} ${route ?? ''}`.trimEnd()
      const span = tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, parent)
      request.log = request.log.child({ trace_id: span.spanContext().traceId })
      reply.log = request.log
      reply.raw.once('close', () => end(span, request, reply))
      next()
    })
    done()
  },
  { name: 'request-spans' },
)

/** The methods that the conventions know. Any other one is `_OTHER`. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'])

const methodAndRoute = ({ method, routeOptions }: FastifyRequest) => ({
  method: METHODS.has(method) ? method : '_OTHER',
  route: routeOptions.url,
})

function end(span: Span, request: FastifyRequest, reply: FastifyReply): void {
  span.setAttributes(answerOf(request, reply))
  if (reply.raw.headersSent && reply.statusCode >= 500) {
    span.setAttribute('error.type', String(reply.statusCode)).setStatus({ code: SpanStatusCode.ERROR })
  }
  span.end()
}

/** Returns nothing for a response that never began. */
function answerOf({ url }: FastifyRequest, reply: FastifyReply): Attributes {
  if (!reply.raw.headersSent) return {}
  const { statusCode } = reply
  const location = reply.getHeader('location')
  return {
    'http.response.status_code': statusCode,
    // A rejected path may contain a username in place of an id, or anything else.
    ...((statusCode < 400 || statusCode >= 500) && { 'url.path': withoutQuery(url) }),
    ...(typeof location === 'string' && { 'http.response.header.location': [withoutQuery(location)] }),
  }
}

const withoutQuery = (url: string) => /^[^?#]*/.exec(url)?.[0] ?? ''
