import type { FastifyInstance, FastifyRequest, onSendAsyncHookHandler, preSerializationHookHandler } from 'fastify'
import plugin from 'fastify-plugin'
import type { Sql } from 'postgres'
import { untrustedText } from '../protocol/untrusted-text.ts'
import { type AuditEvent, recordEvent } from './audit-events.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** What the audit trail will tell of the answer. */
    told: { code: string | undefined; counts: Record<string, number>; subject: string | undefined }
  }
}

const CHANGES = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])

/**
 * Records every request that may change something and whose key may do so, failed ones included: as a line of the log, and in
 * the table, after the change and before the answer. A process that is killed between the two leaves a change without an event;
 * its client got no answer. If the table cannot be written, the answer goes out and only the log has the event.
 */
export const auditTrail = plugin<{ sql: Sql }>(
  (app: FastifyInstance, { sql }, done) => {
    app.decorateRequest('told')
    const tell: preSerializationHookHandler = (request, _reply, payload, next) => {
      request.told = tellingOf(payload)
      next(null, payload)
    }
    const record: onSendAsyncHookHandler = async (request, reply, payload) => {
      if (!mayChange(request)) return payload
      const event = eventOf(request, reply.statusCode)
      request.log.info({ audit: event }, 'change')
      if (reply.statusCode === 503) return payload // nothing was changed, and the database may be what is missing
      await recordEvent(sql, event).catch((err) => request.log.error({ err }, 'a change is in the log alone'))
      return payload
    }
    // On those routes alone: an asynchronous step before each answer was some 4 % of what a 304 costs.
    app.addHook('onRoute', (route) => {
      if (![route.method].flat().some((method) => CHANGES.has(method))) return
      route.preSerialization = [route.preSerialization ?? [], tell].flat()
      route.onSend = [route.onSend ?? [], record].flat()
    })
    done()
  },
  { name: 'audit-trail', dependencies: ['authentication'] },
)

/** Requests without a key that may do it change nothing; to record them would let anybody fill the table. */
function mayChange({ routeOptions, scopes }: FastifyRequest): boolean {
  const { scope } = routeOptions.config
  return scope !== undefined && scopes?.has(scope)
}

function eventOf(request: FastifyRequest, status: number): AuditEvent {
  const { method, routeOptions, params, query, body, apiKey, told } = request
  const { id, name } = (params ?? {}) as { id?: string; name?: string }
  const { pool = (body as { pool?: unknown } | undefined)?.pool } = (query ?? {}) as { pool?: unknown }
  const subject = id ?? name ?? told?.subject
  const of = /^\/v1\/pools/.test(routeOptions.url ?? '') ? name : typeof pool === 'string' ? pool : 'default'
  return {
    actor: apiKey?.name,
    action: `${method} ${routeOptions.url?.replace(/:(\w+)/g, '{$1}')}`,
    pool: of && untrustedText(of, 63),
    subject: subject && untrustedText(subject, 200),
    status,
    code: told?.code,
    counts: told?.counts ?? {},
    requestId: request.id,
  }
}

/** What an answer tells by itself: its id or name, the code of a problem, and whatever it counts. */
function tellingOf(payload: unknown): FastifyRequest['told'] {
  const answer = (typeof payload === 'object' && payload !== null ? payload : {}) as Record<string, unknown>
  const { id, name, code } = answer
  const counts = Object.entries(answer).filter(([member, value]) => COUNTS.test(member) && typeof value === 'number')
  return {
    code: typeof code === 'string' ? code : undefined,
    subject: typeof id === 'string' ? id : typeof name === 'string' ? name : undefined,
    counts: Object.fromEntries(counts) as Record<string, number>,
  }
}

const COUNTS = /_count$|^total_requested$/
