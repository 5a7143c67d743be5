import type { FastifyInstance, FastifyRequest, onSendAsyncHookHandler, preSerializationHookHandler } from 'fastify'
import plugin from 'fastify-plugin'
import type { Sql } from 'postgres'
import { untrustedText } from '../protocol/untrusted-text.ts'
import { type AuditEvent, recordEvent } from './audit-events.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** What the audit trail records about the response. */
    auditInfo: {
      code: string | undefined
      counts: Record<string, number>
      subject: string | undefined
      /** Whether an export was not applied, because the replica has its state, or a state that it does not start from. */
      isUnapplied: boolean
    }
  }
  interface FastifyContextConfig {
    /** The route keeps a journal, and comes too often for an audit event each time: thousands a second. */
    hasJournal?: true
    /** The route changes nothing: its method is POST because its question is a body. */
    changesNothing?: true
    /** Sources read the state of the replica with it, every 3 s while the page shows a target. That is no event. */
    isProbedWith?: true
  }
}

const CHANGES = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])

/**
 * Records every authorised mutating request, also if it failed, in the log and in `audit_events`; not those of routes with a journal,
 * and not those by which a source reads the state of a replica. It does so after the change and before the response goes out. If the
 * process is killed between the two, the change has no event, and the client has no response. If the table cannot be written, the
 * response still goes out, and only the log has the event.
 */
export const auditTrail = plugin<{ sql: Sql }>(
  (app: FastifyInstance, { sql }, done) => {
    app.decorateRequest('auditInfo')
    const keepInfo: preSerializationHookHandler = (request, _reply, payload, next) => {
      request.auditInfo = auditInfoOf(payload)
      next(null, payload)
    }
    const record: onSendAsyncHookHandler = async (request, reply, payload) => {
      if (!mayChange(request) || isStateProbe(request)) return payload
      const event = eventOf(request, reply.statusCode)
      request.log.info({ audit: event }, 'change')
      if (reply.statusCode === 503) return payload // nothing changed, and the database may be unavailable
      await recordEvent(sql, event).catch((err) => request.log.error({ err }, 'audit event not stored'))
      return payload
    }
    // Only on mutating routes: an asynchronous hook adds about 4 % to the cost of a 304.
    app.addHook('onRoute', (route) => {
      if (
        route.config?.hasJournal ||
        route.config?.changesNothing ||
        ![route.method].flat().some((method) => CHANGES.has(method))
      )
        return
      route.preSerialization = [route.preSerialization ?? [], keepInfo].flat()
      route.onSend = [route.onSend ?? [], record].flat()
    })
    done()
  },
  { name: 'audit-trail', dependencies: ['authentication'] },
)

/** Unauthorised requests change nothing. Recording them would let anyone fill the table. */
function mayChange({ routeOptions, scopes }: FastifyRequest): boolean {
  const { scope } = routeOptions.config
  return scope !== undefined && scopes?.has(scope)
}

const isStateProbe = ({ routeOptions, auditInfo }: FastifyRequest) =>
  routeOptions.config.isProbedWith === true && auditInfo?.isUnapplied === true

function eventOf(request: FastifyRequest, status: number): AuditEvent {
  const { method, routeOptions, params, query, body, apiKey, auditInfo } = request
  const { id, name } = (params ?? {}) as { id?: string; name?: string }
  const { pool = (body as { pool?: unknown } | undefined)?.pool } = (query ?? {}) as { pool?: unknown }
  const subject = id ?? name ?? auditInfo?.subject
  const of = /^\/v1\/pools/.test(routeOptions.url ?? '') ? name : typeof pool === 'string' ? pool : 'default'
  return {
    actor: apiKey?.name,
    action: `${method} ${routeOptions.url?.replace(/:(\w+)/g, '{$1}')}`,
    pool: of && untrustedText(of, 63),
    subject: subject && untrustedText(subject, 200),
    status,
    code: auditInfo?.code,
    counts: auditInfo?.counts ?? {},
    requestId: request.id,
  }
}

/** Reads from the response body its id or name, the code of a problem, and every count. */
function auditInfoOf(payload: unknown): FastifyRequest['auditInfo'] {
  const answer = (typeof payload === 'object' && payload !== null ? payload : {}) as Record<string, unknown>
  const { id, name, code } = answer
  const counts = Object.entries(answer).filter(([member, value]) => COUNTS.test(member) && typeof value === 'number')
  return {
    isUnapplied: answer['kind'] === 'unchanged' || code === 'base_mismatch',
    code: typeof code === 'string' ? code : undefined,
    subject: typeof id === 'string' ? id : typeof name === 'string' ? name : undefined,
    counts: Object.fromEntries(counts) as Record<string, number>,
  }
}

/** What the request did. `user_count` is what exists. */
const COUNTS = /^(?!user_).*_count$|^total_requested$/
