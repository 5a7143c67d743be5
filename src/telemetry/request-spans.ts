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
 * A SERVER span for each request but probes, until its answer has ended or was cut off, after OpenTelemetry's stable
 * conventions for HTTP; a child of the client's span where the request tells one (W3C Trace Context). The request's lines in
 * the log have its trace's id, as `trace_id`.
 */
export const requestSpans = plugin<{ tracer: Tracer }>(
  (app: FastifyInstance, { tracer }, done) => {
    app.addHook('onRequest', (request, reply, next) => {
      if (isProbe(request)) return next()
      const { method, route } = told(request)
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

/** Those that the conventions know; any other one is `_OTHER`. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'])

const told = ({ method, routeOptions }: FastifyRequest) => ({
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

/** Of an answer that never began nothing is told. */
function answerOf({ url }: FastifyRequest, reply: FastifyReply): Attributes {
  if (!reply.raw.headersSent) return {}
  const { statusCode } = reply
  const location = reply.getHeader('location')
  return {
    'http.response.status_code': statusCode,
    // A path that is refused may name a user in place of an id, or hold anything at all.
    ...((statusCode < 400 || statusCode >= 500) && { 'url.path': withoutQuery(url) }),
    ...(typeof location === 'string' && { 'http.response.header.location': [withoutQuery(location)] }),
  }
}

const withoutQuery = (url: string) => /^[^?#]*/.exec(url)?.[0] ?? ''
